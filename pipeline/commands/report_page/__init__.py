"""Makes the report's page of a run directory, or of an archive's evidence."""
