"""Prompts that the tests of compression share."""

from __future__ import annotations

FACTS = {
    "Paris": "Paris is the capital of France. It lies on the Seine. Its mayor opened a new park there last spring.",
    "Rome": "Rome is the capital of Italy. It lies on the Tiber. Tourists throw coins into a fountain there.",
    "Oslo": "Oslo is the capital of Norway. It lies at the head of a fjord. Its opera has a roof to walk on.",
    "Bread": "Bread is made of flour and water. It is baked in an oven. Some people bake it at home on Sundays.",
    "Rain": "Rain falls from clouds. It fills rivers and lakes. Farmers wait for it in a dry summer.",
}
QUESTION = "What is the capital of Norway?"
NEEDED = "Oslo is the capital of Norway."


def passages(question: str = QUESTION) -> str:
    """A prompt with numbered passages and a question."""
    listed = "\n\n".join(f"[{number}] {title}\n{text}" for number, (title, text) in enumerate(FACTS.items(), 1))
    return f"Passages:\n{listed}\n\nQuestion: {question}"
