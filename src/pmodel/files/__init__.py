"""Reading and writing files: whole or not at all, and nothing in them that acts."""
