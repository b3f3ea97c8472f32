"""Prices against hand-made sums, against genai-prices over its whole list, and against recorded usage."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import pytest
from genai_prices import Usage as GenaiUsage
from genai_prices import calc_price
from genai_prices.data import providers

from tests import usage_pairs
from tests.benchmarks import priced
from thrift_plugins.config import Config
from thrift_plugins.errors import ConfigError, UnknownModelPrice
from thrift_plugins.prices import Prices, read_prices, split_model
from thrift_plugins.types import NO_USAGE, Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def prices():
    return Prices(clock=lambda: NOW)


def used(input_tokens=0, output_tokens=0, **parts):
    return Usage(input_tokens, output_tokens, source="provider", **parts)


def nano(dollars):
    return int((dollars * 10**9).to_integral_value(ROUND_HALF_UP))


# ---- sums made by hand: tokens x dollars per million = micro-dollars = 1,000 nano-dollars ----


@pytest.mark.parametrize(
    ("model", "usage", "expected"),
    [
        ("gpt-4o", used(1_000, 500), 1_000 * 2_500 + 500 * 10_000),
        ("gpt-4o", used(2_000, 10, cache_read=1_536), 464 * 2_500 + 1_536 * 1_250 + 10 * 10_000),
        ("gpt-4o-mini", used(7, 3), 7 * 150 + 3 * 600),
        ("gpt-5-mini", used(100, 400, reasoning=384), 100 * 250 + 400 * 2_000),
        (
            "claude-sonnet-4-5",
            used(10_000, 100, cache_read=6_000, cache_write=2_000, cache_write_1h=1_000),
            1_000 * 3_000 + 6_000 * 300 + 2_000 * 3_750 + 1_000 * 6_000 + 100 * 15_000,
        ),
        ("claude-sonnet-4-5", used(200_000, 1), 200_000 * 3_000 + 15_000),
        ("claude-sonnet-4-5", used(200_001, 1), 200_001 * 6_000 + 22_500),
        ("gemini-2.5-pro", used(200_000, 10), 200_000 * 1_250 + 10 * 10_000),
        ("gemini-2.5-pro", used(300_000, 10, cache_read=100_000), 200_000 * 2_500 + 100_000 * 250 + 10 * 15_000),
    ],
)
def test_cost_of_known_models(prices, model, usage, expected):
    assert prices.cost(model, usage) == expected


def test_batch_keeps_the_standard_price_of_cached_input_where_it_has_none_of_its_own(prices):
    usage = used(2_000, 100, cache_read=1_000)
    assert prices.cost("gpt-4o-mini", usage, processing="batch") == 1_000 * 75 + 1_000 * 75 + 100 * 300
    assert prices.cost("gpt-5-mini", usage, processing="batch") == 1_000 * 125 + 12_500 + 100 * 1_000


def test_flex_and_priority(prices):
    usage = used(1_000, 100)
    assert prices.cost("gpt-5-mini", usage, processing="flex") == 1_000 * 125 + 100 * 1_000
    assert prices.cost("gpt-4o", usage, processing="priority") == 1_000 * 4_250 + 100 * 17_000


def test_a_mode_that_a_model_does_not_have_costs_the_standard_price(prices):
    assert prices.cost("gpt-4", used(10, 10), processing="flex") == prices.cost("gpt-4", used(10, 10))


def test_price_follows_the_date(prices):
    before, after = (datetime(2025, *day, tzinfo=UTC).timestamp() for day in ((5, 1), (7, 1)))
    assert prices.cost("o3", used(1_000), at=before) == 10_000_000
    assert prices.cost("o3", used(1_000), at=after) == 2_000_000
    midnight = datetime(2025, 6, 10, tzinfo=UTC).timestamp()
    assert prices.cost("o3", used(1_000), at=midnight - 0.001) == 10_000_000
    assert prices.cost("o3", used(1_000), at=midnight) == 2_000_000


def test_price_follows_the_time_of_day(prices):
    day = datetime(2025, 8, 1, tzinfo=UTC).timestamp()
    for hour in (0, 0.5, 16.49, 16.5, 23):
        at = day + hour * 3_600
        assert prices.cost("deepseek-chat", used(10**6), at=at) == reference("deepseek-chat", used(10**6), at)


def test_a_call_that_used_nothing_costs_nothing(prices):
    assert prices.cost("perplexity/sonar", NO_USAGE) == prices.cost("gpt-4o", NO_USAGE) == 0


def test_flat_fee_of_a_search_model(prices):
    assert prices.cost("perplexity/sonar", used(1_000, 100)) == 1_100 * 1_000 + 12_000_000


def test_one_rounding_half_up():
    prices = Prices({"m": {"input": "0.0005", "output": "0.0004"}})
    assert prices.cost("m", used(1, 0)) == 1  # 0.5 nano-dollars
    assert prices.cost("m", used(0, 1)) == 0  # 0.4
    assert prices.cost("m", used(1, 1)) == 1  # 0.9: parts are not rounded
    assert prices.cost("m", used(3, 0)) == 2  # 1.5


def test_sums_are_exact_where_floats_drift():
    prices = Prices({"m": {"input": 0.0123, "output": 0}})
    assert sum(prices.cost("m", used(1_000)) for _ in range(100_000)) == 1_230_000_000


def test_parts_that_exceed_their_total_are_charged_and_no_more(prices):
    assert prices.cost("gpt-4o", used(10, 5, cache_read=20, reasoning=9)) == 20 * 1_250 + 9 * 10_000


# ---- names ----


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai:gpt-4o", "openai/gpt-4o"),
        (" GPT-4o ", "openai/gpt-4o"),
        ("gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("gpt-4o-20240806", "openai/gpt-4o"),
        ("gpt-4o-2031-01-01", "openai/gpt-4o"),
        ("openrouter/openai/gpt-4o", "openrouter/openai/gpt-4o"),
        ("azure_openai:gpt-4o", "azure/gpt-4o"),
        ("gpt-35-turbo", "openai/gpt-3.5-turbo"),
        ("google-gla:gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("mistral/mistral-large-latest", "mistral/mistral-large"),
        ("amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", "aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0"),
        (
            "bedrock/us.anthropic.claude-3-5-sonnet-20240620-v1:0",
            "aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0",
        ),
        ("ft:gpt-4o-mini-2024-07-18:acme::id", "openai/ft:gpt-4o-mini"),
        ("openai/ft:gpt-4o-mini-2024-07-18:acme::id", "openai/ft:gpt-4o-mini"),
        ("ft:gpt-4o-mini:acme::id", "openai/ft:gpt-4o-mini"),
        ("ft:gpt-4o", "openai/ft:gpt-4o"),
        ("ft:gpt-3.5-turbo:acme::id", "openai/ft:gpt-3.5-turbo-"),
        ("groq/openai/gpt-oss-20b", "groq/openai/gpt-oss-20b"),
        ("claude-3-haiku-20240307", "anthropic/claude-3-haiku"),
        ("claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5"),
        ("vertexai/publishers/anthropic/models/claude-3-5-haiku@20241022", "google/claude-3-5-haiku"),
        ("gemini-1.5-flash-002", "google/gemini-1.5-flash"),
        ("gemini-2.5-flash-preview-09-2025", "google/gemini-2.5-flash"),
        ("MiniMax-M2.7-highspeed", "minimax/MiniMax-M2.7-highspeed"),
    ],
)
def test_names(prices, name, source):
    assert prices.knows(name)
    assert prices.rates(name).source == f"genai-prices:{source}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4o-nonsense",
        "ollama/gpt-4o",
        "ft:gpt-4.1-2025-04-14:acme::x",
        "whisper-1",
        "claude-3-haiku-ours",
        "anthropic/claude-opus-4.7-fast",
        "deepseek-r1:free",
        "openrouter/deepseek/deepseek-r1:free",
        "gpt-oss-20b",
        "openai/gpt-oss-120b",
        "ft:nothing",
        "ft:",
        "my-gemini-1.5-flash",
    ],
)
def test_unknown_models(prices, name):
    assert not prices.knows(name)
    for _ in range(2):
        with pytest.raises(UnknownModelPrice, match="USD per million tokens") as caught:
            prices.cost(name, used(1, 1))
        assert caught.value.model == name


def test_split_model():
    assert split_model("OpenAI/gpt-4o") == ("openai", "gpt-4o")
    assert split_model("groq/openai/gpt-oss-120b") == ("groq", "openai/gpt-oss-120b")
    assert split_model("anthropic.claude-3-haiku-20240307-v1:0") == (None, "anthropic.claude-3-haiku-20240307-v1:0")
    assert split_model("ollama/llama3:8b") == (None, "ollama/llama3:8b")


def test_window(prices):
    assert prices.window("openai/gpt-4o") == 128_000
    assert prices.window("no-such-model") is None


# ---- overrides ----


def test_an_override_replaces_the_model():
    prices = Prices({"openai/gpt-4o": {"input": 1, "output": "2.5"}})
    rates = prices.rates("openai/gpt-4o")
    assert (rates.input, rates.output, rates.cache_read, rates.output_audio) == (10**6, 2_500_000, 10**6, 2_500_000)
    assert (rates.source, rates.version) == ("override", "override")
    assert prices.rates("gpt-4o").source == "genai-prices:openai/gpt-4o"


@pytest.mark.parametrize("name", ["my-model", "My-Model", "openai/my-model", "openai:my-model-2026-01-31"])
def test_an_override_is_found_by_every_name_of_the_model(name):
    assert Prices({"my-model": {"input": 1, "output": 1}}).knows(name)


def test_an_override_of_fine_tunes():
    prices = Prices({"ft:gpt-4.1-2025-04-14": {"input": 3, "output": 12}})
    assert prices.cost("ft:gpt-4.1-2025-04-14:acme::x", used(1, 1)) == 15_000


def test_an_override_of_each_unit():
    given = {
        "input": 1,
        "output": 2,
        "cache_write": 3,
        "cache_write_1h": 4,
        "input_audio": 5,
        "output_audio": 6,
        "reasoning": 7,
    }
    usage = used(
        1_111,
        1_110,
        cache_read=1,
        cache_write=10,
        cache_write_1h=100,
        input_audio=1_000,
        output_audio=10,
        reasoning=100,
    )
    expected = 1 + 10 * 3 + 100 * 4 + 1_000 * 5 + 1_000 * 2 + 10 * 6 + 100 * 7
    assert Prices({"m": given}).cost("m", usage) == expected * 1_000


def test_override_of_a_mode():
    given = {"input": 2, "cached_input": 0.5, "output": 4, "batch_input": 1, "batch_output": 2, "flex_input": 1}
    with pytest.raises(ConfigError, match="'flex_output'"):
        Prices({"m": given})
    del given["flex_input"]
    prices = Prices({"m": given})
    usage = used(10, 10, cache_read=4)
    assert prices.cost("m", usage) == 6 * 2_000 + 4 * 500 + 10 * 4_000
    assert prices.cost("m", usage, processing="batch") == 10 * 1_000 + 10 * 2_000
    with pytest.raises(UnknownModelPrice, match="needs 'priority_input' and 'priority_output'"):
        prices.cost("m", usage, processing="priority")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"input": 1, "ouput": 1}, "Did you mean 'output'"),
        ({"input": 1}, "needs 'output'"),
        ({}, "needs 'input'"),
        ({"input": -1, "output": 1}, "0 or more, not -1"),
        ({"input": float("nan"), "output": 1}, "0 or more, not nan"),
        ({"input": 1, "output": float("inf")}, "0 or more, not inf"),
        ({"input": "cheap", "output": 1}, "not 'cheap'"),
        ({"input": True, "output": 1}, "not True"),
        ({"input": 1, "output": 1, "reasoning": -2}, "0 or more, not -2"),
        ({"input": 1, "output": 1, "cached_input": 1, "cache_read": 1}, "gives cache_read twice"),
    ],
)
def test_overrides_that_cannot_work(given, said):
    with pytest.raises(ConfigError, match=said):
        Prices({"m": given})


def test_unknown_processing_mode(prices):
    with pytest.raises(ConfigError, match="Did you mean 'batch'"):
        prices.cost("gpt-4o", used(1), processing="bach")


def test_prices_finer_than_a_pico_dollar_are_rounded_half_up():
    rates = Prices({"m": {"input": "0.08333333333333334", "output": "0.0000005"}}).rates("m")
    assert (rates.input, rates.output) == (83_333, 1)


def test_snapshot_tells_overrides_apart(prices):
    one, other = (Prices({"m": {"input": price, "output": 1}}).snapshot for price in (1, 2))
    assert prices.snapshot == {"source": "genai-prices", "version": prices.rates("gpt-4o").version}
    assert one["version"].startswith(prices.snapshot["version"] + "+override.")
    assert one != other
    assert one == Prices({"M": {"output": 1.0, "input": "1"}}).snapshot


# ---- files ----


def kept(folder, text, name="prices.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_prices_of_a_file_keep_every_digit(tmp_path):
    toml = kept(tmp_path, '["our/model"]\ninput = 0.1000001\noutput = 2\n')
    same = kept(tmp_path, '{"our/model": {"input": 0.1000001, "output": 2}}', "prices.json")
    for path in (toml, same):
        rates = Prices(read_prices(path)).rates("our/model")
        assert (rates.input, rates.output) == (100_000, 2_000_000)
        assert read_prices(path)["our/model"]["input"] == "0.1000001"


def test_settings_name_a_file_of_prices_and_go_before_it(tmp_path):
    path = kept(tmp_path, "[One]\ninput = 1\noutput = 1\n[two]\ninput = 2\noutput = 2\n")
    settings = Config(prices_file=str(path), prices={"one": {"input": 9, "output": 9}})
    prices = Prices(settings.prices)
    assert (prices.rates("one").input, prices.rates("two").input) == (9_000_000, 2_000_000)
    assert len(settings.prices) == 2


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("[m]\ninput = 1\n", "prices.toml", "prices.toml: .*needs 'output'"),
        ("m = 3\n", "prices.toml", "must be a table"),
        ("[m]\ninput = nan\noutput = 1\n", "prices.toml", "0 or more"),
        ("[m]\ninput = -0.1\noutput = 1\n", "prices.toml", "0 or more"),
        ("[m]\ninput = 1\noutput = 1\n[M]\ninput = 1\noutput = 1\n", "prices.toml", "both 'm' and 'M'"),
        ("{", "prices.toml", "neither TOML nor"),
        ("{", "prices.json", "neither TOML nor"),
        ("[]", "prices.json", "must be a table of models"),
        ('{"m": {"input": NaN, "output": 1}}', "prices.json", "0 or more"),
    ],
)
def test_files_that_cannot_work(tmp_path, text, name, said):
    path = kept(tmp_path, text, name)
    with pytest.raises(ConfigError, match=said):
        read_prices(path)
    with pytest.raises(ConfigError, match=said):
        Config(prices_file=str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the prices"):
        read_prices(tmp_path / "none.toml")


# ---- against genai-prices ----


def reference(model, usage, at, provider=None, context=None):
    """What genai-prices makes of the same usage."""
    written = usage.cache_write + usage.cache_write_1h
    raw = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_reasoning_tokens": usage.reasoning,
        "input_audio_tokens": usage.input_audio,
        "output_audio_tokens": usage.output_audio,
        "cache_audio_read_tokens": 0,  # what of the cached input was audio is not in our usage
    }
    found = calc_price(
        GenaiUsage(**raw),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime.fromtimestamp(at, UTC),
        price_context=context,
    )
    return nano(found.total_price)


LISTED = ("anthropic", "aws", "azure", "cohere", "deepseek", "google", "groq", "mistral", "openai", "x-ai")
USAGES = (
    used(1, 1),
    used(1_234, 567, reasoning=100),
    used(150_001, 3_000, cache_read=100_003),
    used(280_007, 999, cache_read=1_024, cache_write=2_048, cache_write_1h=77),
    used(600_000, 10_000, input_audio=3_001, output_audio=1_003),
)
DATES = tuple(datetime(*day, tzinfo=UTC).timestamp() for day in ((2025, 2, 3, 1), (2026, 9, 1, 17), (2026, 11, 20, 9)))


def too_fine(model):
    rows = [row.prices for row in model.prices] if isinstance(model.prices, list) else [model.prices]
    rows += [variant.prices for variant in model.price_variants or ()]
    return any(
        isinstance(price, Decimal) and price.normalize().as_tuple().exponent < -6
        for row in rows
        for price in vars(row).values()
    )


def agreeing_models():
    """(provider, model id) of models that both can price by tokens, to the pico-dollar."""
    for provider in providers:
        if provider.id in LISTED:
            yield from ((provider.id, model.id) for model in provider.models if model.prices and not too_fine(model))


def listed(model, provider):
    """Whether genai-prices finds the model by its own id."""
    try:
        return reference(model, USAGES[0], NOW, provider) >= 0
    except LookupError:
        return False


def test_agrees_with_genai_prices_on_every_listed_model():
    prices = Prices(clock=lambda: NOW)
    checked = 0
    for provider, model in agreeing_models():
        name = f"{provider}/{model}"
        if not prices.knows(name) or not listed(model, provider):
            continue
        checked += 1
        for usage in USAGES:
            for at in DATES:
                assert prices.cost(name, usage, at=at) == reference(model, usage, at, provider), (name, usage, at)
            for mode, context in (("batch", {"processing": "batch"}), ("flex", {"service_tier": "flex"})):
                expected = reference(model, usage, NOW, provider, context)
                assert prices.cost(name, usage, processing=mode) == expected, (name, usage, mode)
    assert checked >= 200


def test_agrees_with_genai_prices_on_recorded_usage(prices):
    """Extracted from the providers' words, looked up and added up by the other library, in every processing mode."""
    if not (usage_pairs.DATA / usage_pairs.FILE).is_file():
        pytest.skip(f"no recorded usage at {usage_pairs.DATA} (THRIFT_DATA)")
    found = priced.figures(usage_pairs.read(), prices)
    assert found["different"] == []
    assert found["unknown_models"] == {}
    assert found["usages_priced"] == found["usages_total"] >= 540


def test_importing_loads_no_price_list():
    script = (
        "import sys, thrift_plugins.prices, thrift_plugins.tokens;"
        "print([m for m in ('genai_prices', 'tiktoken', 'llama_index', 'langchain_core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
