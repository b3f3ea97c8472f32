"""Tells in plain words what a demonstration found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from thrift_plugins.demo.app import CHEAP, STRONG
from thrift_plugins.demo.bill import Billed
from thrift_plugins.demo.knowledge import articles, questions
from thrift_plugins.demo.trial import CAP, Framework, Run, Visit
from thrift_plugins.ledger import Line
from thrift_plugins.report.wording import money
from thrift_plugins.types import Nano

NAMES: dict[Framework, str] = {"langchain": "LangChain", "llama_index": "LlamaIndex"}

_SAMPLES = 9


def introduction(frameworks: Sequence[Framework]) -> Text:
    """What is about to happen, before anything happens."""
    asked = questions()
    return Text(
        f"A small help centre answers {len(asked)} questions of its visitors from {len(articles())} articles, in English"
        f" and Chinese. It runs on {' and then on '.join(NAMES[name] for name in frameworks)} and was built for {STRONG}."
        f" thrift-plugins is on with its defaults and may use {CHEAP} too."
    )


def offline_notice() -> Text:
    """Where the answers come from when there is no key."""
    return Text(
        "Offline: a stand-in for OpenAI on this machine quotes the articles and bills by OpenAI's token formula and"
        " prices. The SDKs are the real ones. Nothing leaves this machine and nothing is paid.",
        style="cyan",
    )


def real_money_notice(expected: Nano, runs: int) -> Text:
    """What is spent when there is a key."""
    return Text(
        f"OPENAI_API_KEY is set, so this spends real money: without thrift-plugins about {money(expected * runs)}, with it"
        f" less. It stops at {money(CAP * runs)}. Run it with --offline to spend nothing.",
        style="bold yellow",
    )


def bills(runs: Sequence[Run]) -> Table:
    """From what the app alone would have paid to what was paid, and why; the rows add up."""
    table = Table(
        title="What it cost, in US dollars", title_justify="left", box=None, pad_edge=False, title_style="bold"
    )
    table.add_column("")
    for run in runs:
        table.add_column(NAMES[run.framework], justify="right")
    table.add_column("why")
    for name, amounts, why in _bill_rows([run.line for run in runs]):
        table.add_row(name, *amounts, why, end_section=name == "paid")
    return table


def _bill_rows(lines: Sequence[Line]) -> Iterator[tuple[str, Iterable[str], str]]:
    first = lines[0]
    yield "without thrift-plugins", (money(line.baseline) for line in lines), f"{first.requests} calls of {STRONG}"
    why = {
        "cache": f"{first.outcomes['hit']} questions had come before, word for word: no call",
        "routing": f"{CHEAP} answered where the question looked easy",
    }
    for tactic in sorted({tactic for line in lines for tactic in line.by_tactic}):
        saved = (money(-line.by_tactic[tactic]) for line in lines)
        yield f"  saved by {tactic}", saved, why.get(tactic, "")
    for tactic in sorted({tactic for line in lines for tactic in line.overheads}):
        paid = (money(-line.overheads[tactic]) for line in lines)
        yield f"  spent by {tactic}", paid, "calls beside the answers: failed or not good enough"
    yield "paid", (money(line.actual) for line in lines), ""
    yield "saved", (f"{line.saved_fraction:.1%}" for line in lines), ""


def samples(run: Run) -> Table:
    """Some of the questions: who answered, why, and what it cost with us and without."""
    table = Table(
        title="Some of the questions", title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True
    )
    table.add_column("question", ratio=5, no_wrap=True, overflow="ellipsis")
    table.add_column("answered by", no_wrap=True)
    table.add_column("why", ratio=4)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("alone", justify="right", no_wrap=True)
    for visit in _telling(run.visits):
        bill = visit.record["bill"]
        by, why = _decision(visit)
        paid = money(bill["actual"]) if bill["actual"] else "nothing"
        table.add_row(visit.question, by, why, paid, money(bill["baseline"]))
    return table


def _telling(visits: Sequence[Visit]) -> list[Visit]:
    """Visits that differ in who answered and why; of the same kind the first two, one of them Chinese if there is one."""
    chosen: dict[tuple[str, str, bool], Visit] = {}
    for visit in visits:
        record = visit.record
        hard = record["served_model"] == STRONG
        kind = (record["served_model"], record["reasons"][0] if hard else "", visit.question.isascii())
        chosen.setdefault(kind, visit)
    return list(chosen.values())[:_SAMPLES]


def _decision(visit: Visit) -> tuple[str, str]:
    record = visit.record
    if record["outcome"] == "hit":
        return "the cache", "asked before"
    signs = ", ".join(record["reasons"][:3])
    return record["served_model"], "looks easy" if record["served_model"] == CHEAP else signs


def proof(runs: Sequence[Run]) -> RenderableType:
    """The provider's own counters beside ours."""
    table = Table(title="Who counted what", title_justify="left", box=None, pad_edge=False, title_style="bold")
    table.add_column("")
    for head in ("calls", "tokens in", "tokens out", "US dollars"):
        table.add_column(head, justify="right")
    for run in runs:
        table.add_row(Text(NAMES[run.framework], style="underline"))
        if run.billed:
            table.add_row("  provider's bill", *_cells(run.billed))
        table.add_row("  our ledger", *_cells(run.booked))
        if run.alone:
            table.add_row("  provider's bill, same app without us", *_cells(run.alone))
        table.add_row("  our ledger, without us", "", "", "", money(run.line.baseline))
    return Group(table, Padding(_verdict(runs), (1, 0, 0, 0)))


def _cells(billed: Billed) -> Iterator[str]:
    yield from (f"{count:,}" for count in (billed.calls, billed.input_tokens, billed.output_tokens))
    yield money(billed.cost)


def _verdict(runs: Sequence[Run]) -> Text:
    """Whether the counts agree, to the nano-dollar."""
    checks = [
        run.booked == run.billed and run.alone is not None and run.alone.cost == run.line.baseline for run in runs
    ]
    if not any(run.billed for run in runs):
        return Text(
            "Compare this with the usage page of your OpenAI account. What it would have cost is the same tokens at the"
            f" price of {STRONG}."
        )
    if all(checks):
        return Text(
            "They agree to the token and to the nano-dollar, and the saving is measured, not guessed.", style="green"
        )
    return Text("THEY DO NOT AGREE. Please report this.", style="bold red")


def closing(runs: Sequence[Run]) -> Text:
    """What this does not show, and what to do next."""
    quality = (
        "Both models quote the same sentences here, so this shows money, not quality; 'thrift-plugins replay' shows both. "
        if any(run.billed for run in runs)
        else ""
    )
    return Text(
        f"{quality}In your app, in the place of the model that you have:\n\n"
        "    from thrift_plugins.langchain import ThriftChatModel\n"
        "    model = ThriftChatModel(tiers=[cheap, strong])   # your own models\n\n"
        "    from thrift_plugins.llama_index import install\n"
        "    install(cheaper=[cheap])                         # over Settings.llm\n\n"
        "'thrift-plugins doctor' checks your set-up."
    )
