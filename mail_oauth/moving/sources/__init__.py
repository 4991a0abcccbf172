"""Where grants come from, a module for each."""
