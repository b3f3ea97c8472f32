"""Which tools only read, by what they say, by their names in every style, and by their descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from thrift_plugins.caching.tool_effects import acting_call
from thrift_plugins.types import Json, ToolCall


def reads(name: str, description: str = "", arguments: Json = None, **told: Any) -> bool:
    declared = {"name": name, "description": description, "parameters": {}, **told}
    return acting_call([declared], [ToolCall("1", name, arguments or {})]) is None


READ = """get_weather getWeather GetWeather search list_orders listOrders get_order_status lookup_customer fetch-page
github.list_issues mcp__github__get_issue weather_forecast restaurant_info tavily_search duckduckgo_search wikipedia_search
calculate_tax convertCurrency get_reservation_details get_call_log list_calls get_payment get_user_by_email find_flights
check_availability hotel_booking.check_availability count_rows is_open has_access query_database retrieve_documents
get_current_time searchBooks read_file list_directory requests.get mortgage_calculator describe_table show_tables
get_invoice get_post read_messages search_tickets product_details translate_text summarize_text 查询天气 get_天气"""

ACT = """book_flight bookFlight BookFlight create_issue github.create_issue mcp__github__create_issue send_email sendEmail
delete_user cancel_order update_user_info set_brightness pay_invoice transfer_to_agent refund_order hotel_booking flight.book
get_or_create_user find_and_replace fetch_and_store search_then_book lookup_or_insert check_in check_out checkOut check_in_passenger
mark_as_read status_update user_info_update order order_food place_order buy_stock post_tweet call_contact run_sql execute_code
python_exec return_delivered_order_items modify_pending_order write_file save_note upload deploy login sign_in reset_password
submit_form generate_invoice print_label schedule_meeting add_to_cart remove_item approve reject start_vm restart_server
turn_on_lights open_door play_song share_document invite_user random_number exchange_and_trade roll_dice
预订酒店 发送邮件 创建订单 删除文件"""

UNKNOWN = "gadget do_it x process handle bash terminal radiator think banking_service B final_answer"


@pytest.mark.parametrize("name", READ.split())
def test_names_that_read(name: str):
    assert reads(name)


@pytest.mark.parametrize("name", ACT.split())
def test_names_that_act(name: str):
    assert not reads(name)
    assert not reads(name, "Returns the current state."), "a name that acts is believed over its description"


@pytest.mark.parametrize("name", UNKNOWN.split())
def test_names_that_say_nothing_may_act(name: str):
    assert not reads(name)


@pytest.mark.parametrize(
    "description",
    ["Get the weather in a city.", "Returns the area of a circle.", "Search the web.", "  Looks up a word.", "查询指定城市的天气", "用于获取股票价格",
     "根据城市名称查询酒店列表", "检索知识库中的文档", "天気を検索します", "Gives directions between two places."],
)  # fmt: skip
def test_a_description_speaks_where_the_name_says_nothing(description: str):
    assert reads("gadget", description)


@pytest.mark.parametrize(
    "description",
    ["Books a room.", "Send a message to a user.", "This tool can do a lot.", "Gets a token and deletes the session.", "Search for a room and reserve it.",
     "预订酒店房间", "为用户下单并查询订单", "发送短信通知", "修改用户资料", "查询余额并转账", "ホテルを予約します", "", "42", "Ein Werkzeug zum Löschen."],
)  # fmt: skip
def test_a_description_that_acts_or_says_nothing(description: str):
    assert not reads("gadget", description)


@pytest.mark.parametrize(
    "description",
    ["Books a table and returns it.", "Creates the ticket if there is none.", "预订并返回订单", "Deletes."],
)
def test_a_name_that_reads_is_not_believed_over_a_description_that_acts(description: str):
    assert not reads("get_ticket", description)


@pytest.mark.parametrize("hint", [True, False])
def test_what_the_tool_says_itself_counts_most(hint: bool):
    annotations = {"readOnlyHint": hint}
    assert reads("book_flight", annotations=annotations) is hint
    assert reads("get_weather", annotations=annotations) is hint
    wrapped = {"type": "function", "function": {"name": "gadget", "annotations": annotations}}
    assert (acting_call([wrapped], [ToolCall("1", "gadget", {})]) is None) is hint


@pytest.mark.parametrize("odd", [{"readOnlyHint": "yes"}, {"destructiveHint": False}, "read", None])
def test_an_odd_hint_is_none(odd: Json):
    assert not reads("gadget", annotations=odd)
    assert reads("get_weather", annotations=odd)


@pytest.mark.parametrize(
    "arguments",
    [{"sql": "DELETE FROM users"}, {"q": {"sql": "select 1; drop table x"}}, {"list": ["a", "UPDATE t SET a = 1"]}, {"method": "POST"},
     {"method": "delete"}, {"query": "mutation { pay }"}, {"sql": "INSERT\n INTO t VALUES (1)"}, '{"sql": "truncate t"}'],
)  # fmt: skip
def test_an_argument_may_be_an_order_to_act(arguments: Json):
    assert not reads("query", arguments=arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sql": "SELECT * FROM updates"},
        {"method": "GET"},
        {"q": "how to update my plan"},
        {"n": 3, "deep": [1, None]},
        None,
    ],
)
def test_an_argument_that_only_asks(arguments: Json):
    assert reads("query", arguments=arguments)


def test_a_tool_that_nobody_declared_goes_by_its_name():
    assert acting_call([], [ToolCall("1", "get_weather", {})]) is None
    assert acting_call([], [ToolCall("1", "gadget", {})]) == "gadget"


def test_dots_that_a_provider_does_not_allow_are_the_same_name():
    offered = [{"name": "shop.gadget", "description": "Returns prices.", "parameters": {}}]
    assert acting_call(offered, [ToolCall("1", "shop_gadget", {})]) is None
