"""Commands, configuration and the Ray runner: everything that joins the other packages."""
