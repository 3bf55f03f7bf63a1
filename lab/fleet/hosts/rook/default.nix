# The server at home.
{
  web.version = "1.0";
  web.port = 8080;
  web.greeting = "Hello from rook.";
  web.broken = false;

  backup.at = "02:30";
}
