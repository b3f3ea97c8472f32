"""Free text, for which there is no student: a cheaper model is shown what the teacher has answered to texts like this one.

What it answers is checked (no number that is not in the source, no longer than the teacher's), and the teacher answers where a
check fails. Runs offline without a key, where the stand-in makes one number up, and against OpenAI with OPENAI_API_KEY set.
Have a judge look at a share of the answers before you trust it: see 08_quality_gate.py.
"""

import os
import tempfile

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from thrift_plugins.distillation.dataset import Dataset
from thrift_plugins.distillation.precedents import Precedents, misfit
from thrift_plugins.langchain import TrafficRecorder
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest
from thrift_plugins.text.embed import word_embedder

ASK = "Sum up the ticket in one line."
OLD = [f"Order {number} came {days} days late, and the {thing} was broken." for number, days, thing in
       ((101, 3, "lamp"), (102, 5, "chair"), (103, 2, "mirror"), (104, 9, "desk"))]  # fmt: skip
NEW = ["Order 207 came 4 days late, and the lamp was broken.", "Order 208 came 6 days late, and the stool was broken."]


def summing_up(request: WireRequest) -> Answer:
    """What the stand-in says: the small model makes a number up now and then."""
    words = request.last_user.split()
    late = "7" if request.model == "gpt-4o-mini" and "208" in words else words[3]
    return Answer(text=f"Order {words[1]}: {late} days late, broken {words[8]}.")


def main(**where: str) -> None:
    teacher, cheap = (ChatOpenAI(model=name, **where) for name in ("gpt-4o", "gpt-4o-mini"))
    with tempfile.TemporaryDirectory() as folder:
        recorder = TrafficRecorder(folder, ["summary"])  # an app records for weeks
        for text in OLD:
            asked = [SystemMessage(ASK), HumanMessage(text)]
            teacher.invoke(asked, {"callbacks": [recorder], "tags": ["thrift:task=summary"]})
        precedents = Precedents(list(Dataset(folder, "summary").examples()), word_embedder())
    for text in NEW:
        shown = precedents.nearest(text, 2)
        turns = [turn for each in shown for turn in (HumanMessage(each.text), AIMessage(each.answer.text))]
        answer = cheap.invoke([SystemMessage(ASK), *turns, HumanMessage(text)]).text
        why = misfit(answer, text, shown)
        if why:
            answer = teacher.invoke([SystemMessage(ASK), HumanMessage(text)]).text
        print(f"{'teacher' if why else 'cheap'}: {answer}" + (f"  ({why})" if why else ""))


if __name__ == "__main__":
    if os.environ.get("OPENAI_API_KEY"):
        main()
    else:
        with LoopbackProvider() as provider:
            provider.script(summing_up)
            main(base_url=provider.base_url, api_key=provider.api_key)
