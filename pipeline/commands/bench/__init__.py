"""`pipeline bench`: time a finished run or an archive again, on the host where it will run."""
