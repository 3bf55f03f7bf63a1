# The laptop: away for days, then back.
{
  desktop.session = "sway";
  metrics.interval = "1min";
}
