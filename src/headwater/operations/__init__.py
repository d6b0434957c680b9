"""What operators do with a whole storage: the functions behind the command line."""
