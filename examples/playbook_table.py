"""Why savings do not add up, and how the ledger makes them: a well-known table, booked.

A post about a bill of $4,200 a month lists what six tactics saved: 900, 600, 800, 400, 400 and 170. That is $3,270, and the
bill fell by $3,070. Measured alone, each row is right: a call that the cache answers need not be routed either, so what
both would have saved on it is in two rows. The ledger prices every combination of what happened to a call and gives each
tactic its mean share (its Shapley value), so its rows add up to what was saved.

This month is made to fit the post, each kind of call as one event with all its tokens. No model is asked.
"""

from thrift_plugins.ledger import Cost, Event, bill
from thrift_plugins.prices import Prices
from thrift_plugins.types import Patch, Scope, Usage, usd

M = 1_000_000
PRICES = Prices(
    {
        "large": {"input": 2.5, "output": 10, "batch_input": 1.25, "batch_output": 5},
        "small": {"input": 0.5, "output": 2},
        "student": {"input": 0.375, "output": 1.5},
    }
)
CACHED, ROUTED = Patch("cache", "made", before=True, after=False), Patch("routing", "model", "large", "small")
LONG, MUCH = Usage(40 * M, 90 * M), Usage(250 * M, 10 * M)
MONTH: list[tuple[Usage, tuple[Patch, ...]]] = [
    (Usage(140 * M, 52_500_000), (ROUTED,)),
    (Usage(80 * M, 15 * M), (CACHED,)),
    (Usage(40 * M, 15 * M), (ROUTED, CACHED)),  # simple questions that come again: either would have saved on them
    (LONG, (Patch("budget", "usage", LONG, Usage(40 * M, 10 * M)),)),
    (MUCH, (Patch("compression", "usage", MUCH, Usage(90 * M, 10 * M)),)),
    (Usage(160 * M, 40 * M), (Patch("batch", "processing", "standard", "batch"),)),
    (Usage(40 * M, 10 * M), (Patch("distillation", "model", "large", "student"),)),
]


def booked(usage: Usage, patches: tuple[Patch, ...]) -> Event:
    return Event("", 0.0, "", Scope(), "answered", Cost("large", usage), patches=patches)


def main() -> None:
    month = [bill(booked(usage, patches), PRICES) for usage, patches in MONTH]
    alone = [bill(booked(usage, (patch,)), PRICES) for usage, patches in MONTH for patch in patches]
    baseline, paid = sum(one.baseline for one in month), sum(one.actual for one in month)
    print(f"{'':14}{'alone':>8}{'ledger':>8}")
    for tactic in ("routing", "cache", "budget", "compression", "batch", "distillation"):
        by_itself, share = (sum(one.rows.get(tactic, 0) for one in bills) for bills in (alone, month))
        print(f"{tactic:14}{usd(by_itself):8,.0f}{usd(share):8,.0f}")
    claimed, saved = (sum(sum(one.rows.values()) for one in bills) for bills in (alone, month))
    print(f"{'sum':14}{usd(claimed):8,.0f}{usd(saved):8,.0f}")
    fall, twice = usd(baseline - paid), usd(claimed - saved)
    print(f"{usd(baseline):,.0f} - {usd(paid):,.0f} = {fall:,.0f}: {twice:,.0f} counted twice")


if __name__ == "__main__":
    main()
