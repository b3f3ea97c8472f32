"""The same calls at batch price: collected, journalled before they are sent, each answer delivered once."""
