"""Shows what was saved: a page to open in a browser, Markdown for a pull request, and the same numbers in code.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set. `thrift-plugins report --html report.html` does the same
for the ledger of your settings.
"""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from langchain_openai import ChatOpenAI

from thrift_plugins import Config, LedgerConfig, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.ledger.rollup import roll_up
from thrift_plugins.report.html import page
from thrift_plugins.report.markdown import markdown
from thrift_plugins.report.overview import headline
from thrift_plugins.report.story import tell
from thrift_plugins.stores import open_event_log
from thrift_plugins.testing import offline_openai

QUESTIONS = {
    "faq": ["What is a refund?", "When do you ship?", "What is a refund?", "Where are you?", "When do you ship?"],
    "drafts": ["Write a friendly mail that the parcel is late.", "Compare our three plans, with prices and limits, in a table."],
}
LEDGER = "report-ledger.db"


def main() -> None:
    runtime = Runtime(Config(store="memory:", ledger=LedgerConfig(url=LEDGER)))
    with offline_openai():
        model = ThriftChatModel(tiers=[ChatOpenAI(model="gpt-4o-mini"), ChatOpenAI(model="gpt-4o")], runtime=runtime)
        for feature, questions in QUESTIONS.items():
            with scope(tenant="acme", feature=feature):
                for question in questions:
                    model.invoke(question)
    runtime.close()

    with closing(open_event_log(LEDGER)) as log:
        story = tell(roll_up(log.bodies()))
    Path("report.html").write_text(page(story, most=20, now=datetime.now(UTC)), encoding="utf-8")
    Path("report.md").write_text(markdown(story, most=20), encoding="utf-8")
    print(*headline(story), sep="\n")
    print(f"More in {Path('report.html').resolve()}")


if __name__ == "__main__":
    main()
