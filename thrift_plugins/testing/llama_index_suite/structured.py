"""Answers as pydantic models."""

# ruff: noqa: S101  (tests assert)

from __future__ import annotations

from enum import Enum

import pytest
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, Field

from thrift_plugins.testing.llama_index_suite.base import ContractBase, user


class Mood(Enum):
    """How a song feels."""

    CALM = "calm"
    LOUD = "loud"


class Song(BaseModel):
    """A song."""

    title: str = Field(description="The title of the song")
    seconds: int


class Album(BaseModel):
    """An album of songs."""

    name: str
    mood: Mood
    songs: list[Song]


_PROMPT = PromptTemplate("Invent an album about {topic}.")


# LlamaIndex itself calls a deprecated method of pydantic when it streams a structured answer.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
class StructuredTests(ContractBase):
    """`structured_predict`, `as_structured_llm`, and their twins."""

    @pytest.fixture
    def structured_llm(self, llm: LLM) -> LLM:
        """The LLM as one that fills pydantic models."""
        if not self.has_structured_output:
            pytest.skip("it fills no pydantic models")
        return llm

    def test_structured_predict(self, structured_llm: LLM) -> None:
        album = structured_llm.structured_predict(Album, _PROMPT, topic="rivers")
        assert isinstance(album, Album)
        assert isinstance(album.mood, Mood)
        assert all(isinstance(song, Song) for song in album.songs)

    async def test_astructured_predict(self, structured_llm: LLM) -> None:
        assert isinstance(await structured_llm.astructured_predict(Album, _PROMPT, topic="rivers"), Album)

    def test_stream_structured_predict(self, structured_llm: LLM) -> None:
        *_, last = structured_llm.stream_structured_predict(Song, PromptTemplate("Invent a {what}."), what="song")
        assert isinstance(last, BaseModel)
        Song.model_validate(last.model_dump())

    async def test_astream_structured_predict(self, structured_llm: LLM) -> None:
        stream = await structured_llm.astream_structured_predict(Song, PromptTemplate("Invent a {what}."), what="song")
        found = [item async for item in stream]
        assert isinstance(found[-1], BaseModel)
        Song.model_validate(found[-1].model_dump())

    def test_structured_llm_chat(self, structured_llm: LLM) -> None:
        response = structured_llm.as_structured_llm(Album).chat(user("Invent an album about rivers."))
        assert isinstance(response, ChatResponse)
        assert isinstance(response.raw, Album)
        assert Album.model_validate_json(str(response.message.content)) == response.raw

    async def test_structured_llm_achat(self, structured_llm: LLM) -> None:
        response = await structured_llm.as_structured_llm(Album).achat(user("Invent an album about rivers."))
        assert isinstance(response.raw, Album)

    def test_structured_llm_complete(self, structured_llm: LLM) -> None:
        response = structured_llm.as_structured_llm(Song).complete("Invent a song.")
        assert Song.model_validate_json(response.text) == response.raw

    async def test_structured_llm_acomplete(self, structured_llm: LLM) -> None:
        response = await structured_llm.as_structured_llm(Song).acomplete("Invent a song.")
        assert isinstance(response.raw, Song)

    def test_structured_llm_stream_chat(self, structured_llm: LLM) -> None:
        *_, last = structured_llm.as_structured_llm(Song).stream_chat(user("Invent a song."))
        assert isinstance(last.raw, BaseModel)
        Song.model_validate(last.raw.model_dump())
