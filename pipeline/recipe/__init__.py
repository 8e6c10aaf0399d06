"""What a user may ask for: sections, names, passes, and recipes as files; light."""
