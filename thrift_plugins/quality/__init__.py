"""The quality gate: were the answers as good as without us? It compares, calibrates, tests, and takes off what harms."""

from thrift_plugins.quality.calibration import Calibration
from thrift_plugins.quality.gate import ALL, Gate, Rolled, Terms
from thrift_plugins.quality.judge import Asker, Consult, Judge, Judgement
from thrift_plugins.quality.judges import AutoJudge, ExactJudge, JsonJudge, SimilarityJudge
from thrift_plugins.quality.labelled import Pair, calibrate
from thrift_plugins.quality.llm_judge import LLMJudge
from thrift_plugins.quality.trial import Standing, Verdict
from thrift_plugins.quality.verdicts import verdicts

__all__ = [
    "ALL",
    "Asker",
    "AutoJudge",
    "Calibration",
    "Consult",
    "ExactJudge",
    "Gate",
    "JsonJudge",
    "Judge",
    "Judgement",
    "LLMJudge",
    "Pair",
    "Rolled",
    "SimilarityJudge",
    "Standing",
    "Terms",
    "Verdict",
    "calibrate",
    "verdicts",
]
