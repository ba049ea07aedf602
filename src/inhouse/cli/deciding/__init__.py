"""What `inhouse decide` reads: typed figures, options, usage. Judges nothing."""
