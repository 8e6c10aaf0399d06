"""The report of a build as one page: what it shows, as data, and the files that show it."""
