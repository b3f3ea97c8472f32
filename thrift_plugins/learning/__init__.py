"""Small models on numpy: fit, bound a risk, save and load safely."""
