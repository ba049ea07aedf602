"""The one page of a decision: words, plots and tables from a `DecisionReport`."""
