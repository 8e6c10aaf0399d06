"""A file for each verb of the command line and of the library; each returns a value."""
