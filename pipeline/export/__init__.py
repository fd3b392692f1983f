"""A corpus in the form that another project's trainer reads; a module a form."""
