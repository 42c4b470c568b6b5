"""Models, networks, data and numbers of this project."""
