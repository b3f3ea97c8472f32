"""LiteLLM's complexity routers over prompts: JSON texts on stdin, a line each; on stdout a line of scores for each, higher is harder.

Run by `tests.benchmarks.routing` in an environment of its own (`THRIFT_PEERS_PYTHON`), since LiteLLM is heavy and pins what we do not.
Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

TIERS = {"SIMPLE": "a", "MEDIUM": "b", "COMPLEX": "c", "REASONING": "d"}


def main() -> None:
    """Score what is asked."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    from litellm.router_strategy.adaptive_router.classifier import classify_prompt
    from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter
    from litellm.router_strategy.complexity_router.tier_predictor import TierSuccessPredictor, resolve_tier_artifact

    rules: Any = ComplexityRouter("router", object(), {"tiers": TIERS})
    trained = TierSuccessPredictor(resolve_tier_artifact("ultrafeedback"))
    for line in sys.stdin:
        prompt = json.loads(line)
        tier, score, _ = rules.classify(prompt)
        chances = trained.predict(prompt, classify_prompt(prompt)).probabilities
        print(json.dumps({"heuristic": score, "heuristic_v2": chances[4] - chances[1], "cheapest": str(tier.value) == "SIMPLE"}))


if __name__ == "__main__":
    main()
