"""The official `openai` package, unmodified, against a running gateway.

One file for both columns: `RELAY_BASE_URL` names a gateway that runs already (the proof starts six processes on Kafka and
points here); without it, the embedded column is started from the built executable.
"""

import os
import time

import openai
import pytest

MODEL = os.environ.get("RELAY_TEST_MODEL", "relay-chat")
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def test_the_model_is_listed(client):
    # The ingress learns of it from the worker's first word, which may come a moment after both are ready.
    deadline = time.monotonic() + 60
    listed = []
    while MODEL not in listed and time.monotonic() < deadline:
        listed = [model.id for model in client.models.list()]
    assert MODEL in listed


def test_an_answer_in_one_piece(client):
    completion = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    choice = completion.choices[0]
    assert choice.message.role == "assistant"
    assert "Paris" in choice.message.content
    assert choice.finish_reason == "stop"
    assert completion.usage.completion_tokens > 0
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_a_streamed_answer_is_the_same_text(client):
    whole = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    stream = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert finishes == ["stop"]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_a_stream_without_usage_asks_for_none(client):
    chunks = list(client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, stream=True))
    assert all(chunk.usage is None for chunk in chunks)


def test_max_tokens_ends_with_length(client):
    completion = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=1)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 1


def test_a_stop_string_is_not_part_of_the_answer(client):
    completion = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, stop=["Paris"])
    assert "Paris" not in completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"


def test_a_seed_repeats_a_sampled_answer(client):
    def ask():
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=1.5, seed=7, max_tokens=20)
        return answer.choices[0].message.content

    assert ask() == ask()


def test_an_unknown_model_is_a_404_with_the_openai_error_body(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert error.value.code == "model_not_found"
    assert error.value.response.headers["x-request-id"]


def test_wrong_types_are_a_400_that_names_the_field(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=MODEL, messages=QUESTION, temperature="hot")
    assert "temperature" in error.value.message


def test_a_bad_tenant_is_a_400(client):
    badly_named = client.with_options(default_headers={"X-Tenant-Id": "no spaces allowed"})
    with pytest.raises(openai.BadRequestError) as error:
        badly_named.chat.completions.create(model=MODEL, messages=QUESTION)
    assert "X-Tenant-Id" in error.value.message


def test_asking_again_by_key_gets_the_recorded_answer(client):
    def ask():
        return client.chat.completions.with_raw_response.create(
            model=MODEL, messages=QUESTION, temperature=0, extra_headers={"Idempotency-Key": f"key-{os.getpid()}"}
        )

    first, second = ask(), ask()
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert first.parse().choices[0].message.content == second.parse().choices[0].message.content
