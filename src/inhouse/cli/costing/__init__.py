"""What the commands of costs share: what they read from, their period, what they print. Computes nothing."""
