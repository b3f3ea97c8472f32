"""What is put on the arguments of the framework's methods: edits, notes and turns. The app's own objects stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from thrift_plugins.budgeting import Note, noted
from thrift_plugins.compression.result import Change, Edit
from thrift_plugins.types import Message

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": ("messages",),
    "complete": ("prompt",),
    "chat_with_tools": ("tools", "user_msg", "chat_history"),
}


def with_notes(
    operation: str, args: Sequence[Any], kwargs: Mapping[str, Any], notes: Sequence[Note]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call with notes on its messages.

    Args:
        operation: name of the method, in any of its four forms.
        notes: by the places of the messages in the request.
    """
    names, given = _given(operation, args, kwargs)
    if "prompt" in given:
        told = {"prompt": noted(given["prompt"], notes[0].text)}
    elif "messages" in given:
        told = {"messages": _noted(given["messages"], notes)}
    else:
        told = _turns_noted(given.get("chat_history") or (), _turn(given.get("user_msg")), notes)
    return _put(names, args, kwargs, told)


def with_change(
    operation: str, args: Sequence[Any], kwargs: Mapping[str, Any], change: Change
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call with what of its messages is sent once they are compressed. A completion's prompt is not marked.

    Args:
        operation: name of the method, in any of its four forms.
        change: by the places of the messages in the request, and of the blocks in them that call no tool.
    """
    names, given = _given(operation, args, kwargs)
    if "prompt" in given:
        return _put(names, args, kwargs, {"prompt": change.edits[0].text} if change.edits else {})
    if "messages" in given:
        return _put(names, args, kwargs, {"messages": _changed(given["messages"], change)})
    spoken = _turn(given.get("user_msg"))
    messages = _changed([*(given.get("chat_history") or ()), *spoken], change)
    if not spoken:
        return _put(names, args, kwargs, {"chat_history": messages})
    return _put(names, args, kwargs, {"chat_history": messages[:-1], "user_msg": messages[-1]})


def _changed(messages: Sequence[ChatMessage], change: Change) -> list[ChatMessage]:
    made = edited(messages, change.edits)
    if change.kept is not None:
        made = [made[at] for at in change.kept]
    for at in change.breaks:
        mark = CachePoint(cache_control=CacheControl(type="ephemeral"))
        made[at] = made[at].model_copy(update={"blocks": [*made[at].blocks, mark]})
    return made


def edited(messages: Sequence[ChatMessage], edits: Sequence[Edit]) -> list[ChatMessage]:
    """Copies of messages, some of whose texts are replaced; a text of several blocks becomes one."""
    made = list(messages)
    for at, place, text in edits:
        blocks: list[Any] = list(made[at].blocks)
        if place is None:
            calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
            first = next(block for block in blocks if isinstance(block, TextBlock))
            blocks = [first.model_copy(update={"text": text}), *calls]
        else:
            where = [number for number, block in enumerate(blocks) if not isinstance(block, ToolCallBlock)][place]
            blocks[where] = blocks[where].model_copy(update={"text": text})
        made[at] = made[at].model_copy(update={"blocks": blocks})
    return made


def with_turns(
    operation: str, args: Sequence[Any], kwargs: Mapping[str, Any], turns: Sequence[Message]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call with turns of text after its prompt. A completion's prompt has them as paragraphs.

    Args:
        operation: name of the method, in any of its four forms.
    """
    names, given = _given(operation, args, kwargs)
    if "prompt" in given:
        return _put(names, args, kwargs, {"prompt": "\n\n".join([given["prompt"], *(turn.text for turn in turns)])})
    later = [ChatMessage(role=MessageRole(turn.role), content=turn.text) for turn in turns]
    if "messages" in given:
        return _put(names, args, kwargs, {"messages": [*given["messages"], *later]})
    spoken = _turn(given.get("user_msg"))
    history = [*(given.get("chat_history") or ()), *spoken, *later]
    return _put(names, args, kwargs, {"chat_history": history[:-1], "user_msg": history[-1]})


def _given(operation: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of what a method takes in order, and all that it was given by name."""
    names = _NAMES[operation.removeprefix("a").removeprefix("stream_")]
    return names, {**dict(zip(names, args, strict=False)), **kwargs}


def _put(
    names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any], told: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with others in their places."""
    positional = [told.get(name, value) for name, value in zip(names, args, strict=False)]
    named = {name: value for name, value in {**kwargs, **told}.items() if name not in names[: len(args)]}
    return [*positional, *args[len(names) :]], named


def _turn(spoken: str | ChatMessage | None) -> list[ChatMessage]:
    if spoken is None:
        return []
    return [ChatMessage(role=MessageRole.USER, content=spoken) if isinstance(spoken, str) else spoken]


def _turns_noted(
    history: Sequence[ChatMessage], spoken: Sequence[ChatMessage], notes: Sequence[Note]
) -> dict[str, Any]:
    if not spoken:
        return {"chat_history": _noted(history, notes)}
    *earlier, last = _noted([*history, *spoken], notes)
    return {"chat_history": earlier, "user_msg": last}


def _noted(messages: Sequence[ChatMessage], notes: Sequence[Note]) -> list[ChatMessage]:
    told = list(messages)
    for at, text in notes:
        told[at] = _with(told[at], text)
    return told


def _with(message: ChatMessage, text: str) -> ChatMessage:
    """A copy. One of a single text stays that: not every provider takes several."""
    blocks: list[Any] = list(message.blocks)
    if len(blocks) == 1 and isinstance(blocks[0], TextBlock):
        blocks = [blocks[0].model_copy(update={"text": noted(blocks[0].text, text)})]
    else:
        blocks.append(TextBlock(text=text))
    return message.model_copy(update={"blocks": blocks})
