"""Pages that people decide with: every number with its basis. Renders; writes no state and calls no model."""
