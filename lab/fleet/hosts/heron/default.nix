# The server at the edge, in view of the public.
{
  web.version = "1.0";
  web.port = 8080;
  web.greeting = "Hello from heron.";
  web.broken = false;

  metrics.interval = "10s";
}
