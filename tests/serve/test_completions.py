"""OpenAI's routes, driven by the official client over a real connection, on engines without Ray."""

from __future__ import annotations

import httpx
import openai
import pytest
import torch
from serve.engine import Answerer
from serve.errors import BusyError
from serve.front import Front, LocalBackend, make_app
from tests.serve.running import running

from mixwright.config import ModelConfig
from mixwright.decoding import Decoding
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.generate.engine import Request
from mixwright.generate.likelihoods import likelihoods
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import load_base
from mixwright.prompts import prompt_ids
from mixwright.scenarios import Instructions, Scenario, Task

SCENARIO = Scenario(
    name="made_up",
    tasks=(Task(name="polish", metric="gleu", instructions=Instructions(train=("Polish.",), evaluation=("Make it shine.",))),),
)
FRONT = Front(model="embedded", adapters=("formal",), scenario=SCENARIO)
CONTEXT = 500


def nothing_lost(rows, adapter):
    return ResponseLoss(nll=0.0, tokens=1)


def client_of(url, **changes):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", **{"max_retries": 0} | changes)


@pytest.fixture(scope="module")
def engine():
    return EchoEngine(["formal"])


@pytest.fixture(scope="module")
def url(engine):
    answerer = Answerer(engine=engine, tokenizer=CharacterTokenizer(), context_length=CONTEXT, score=nothing_lost)
    with running(make_app(LocalBackend(answerer), FRONT)) as address:
        yield address


@pytest.fixture
def client(url):
    with client_of(url) as connected:
        yield connected


def chat(client, content="Make it shine.\n\nHe go home.", **changes):
    body = {"model": "base", "messages": [{"role": "user", "content": content}], **changes}
    return client.chat.completions.create(**body)


def test_a_chat_is_answered_with_its_tokens_and_its_end(client):
    answer = chat(client)
    assert answer.choices[0].message.content == "He go home."
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", "base")
    assert answer.usage.prompt_tokens == len(prompt_ids(CharacterTokenizer(), "Make it shine.", "He go home."))
    assert answer.usage.completion_tokens == len("He go home.")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_one_user_message_is_the_prompt_of_a_rewrite(client, url, engine):
    chat(client)
    httpx.post(f"{url}/v1/rewrite", json={"task": "polish", "texts": ["He go home."], "instruction": "Make it shine."})
    assert engine.batches[-2][0].prompt_ids == engine.batches[-1][0].prompt_ids


def test_the_model_names_the_adapter(client):
    answer = chat(client, model="base:formal")
    assert (answer.choices[0].message.content, answer.model) == ("formal: He go home.", "base:formal")


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_is_cut_says_so(client, limit):
    answer = chat(client, **{limit: 5})
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("He go", "length")
    assert answer.usage.completion_tokens == 5


def test_without_a_limit_the_context_is_the_limit(client):
    assert chat(client, "Make it shine.\n\n" + "x" * 90).choices[0].finish_reason == "stop"
    answer = chat(client, "Make it shine.\n\n" + "x" * 200)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.total_tokens == CONTEXT


@pytest.mark.parametrize(
    ("stop", "text"), [(" home", "He go"), (["me", " go"], "He"), (["never"], "He go home."), ([], "He go home.")]
)
def test_an_answer_ends_before_the_first_stop(client, stop, text):
    choice = chat(client, stop=stop).choices[0]
    assert (choice.message.content, choice.finish_reason) == (text, "stop")


def test_settings_that_say_greedy_are_taken(client):
    answer = chat(client, temperature=0, top_p=0.5, n=1, seed=7, presence_penalty=0, frequency_penalty=0.0, stream=False, user="me")
    assert answer.choices[0].message.content == "He go home."


def test_a_temperature_reaches_the_engine_with_its_seed(client, engine):
    chat(client, temperature=0.7, top_p=0.9, seed=7)
    assert engine.batches[-1][0].decoding == Decoding(temperature=0.7, top_p=0.9, seed=7)
    client.completions.create(model="base", prompt="x", temperature=0.5, seed=3)
    assert engine.batches[-1][0].decoding == Decoding(temperature=0.5, seed=3)


def test_without_a_seed_each_request_draws_anew(client, engine):
    for _ in range(2):
        chat(client, temperature=0.7)
    assert engine.batches[-1][0].decoding.seed != engine.batches[-2][0].decoding.seed


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"stream_options": {"include_usage": True}}, None, "stream_options are of a stream; send stream: true"),
        ({"temperature": 3.0}, "temperature", "temperature: input should be less than or equal to 2"),
        ({"temperature": 0.001}, "temperature", "temperature: must be 0 or at least 0.01, got 0.001; 0 is greedy"),
        ({"presence_penalty": 1.0}, "presence_penalty", "presence_penalty: is not there, got 1"),
        ({"n": 2}, "n", "n: a request has one answer, got 2"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens: input should be greater than or equal to 1"),
        ({"messages": []}, "messages", "messages: "),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "messages.0.role: "),
        ({"logit_bias": {"5": 1}}, "logit_bias", "unknown key `logit_bias`"),
        ({"extra_body": {"max_token": 3}}, "max_token", "unknown key `max_token`; did you mean 'max_tokens'?"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, None, "two names of one limit"),
    ],
)
def test_what_is_not_there_is_refused_by_name(client, changes, param, words):
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        chat(client, **changes)
    assert words in caught.value.body["message"]
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", param)


def test_an_unknown_model_is_not_found_and_names_the_nearest(client):
    for create in (lambda: chat(client, model="base:formla"), lambda: client.completions.create(model="base:formla", prompt="x")):
        with pytest.raises(openai.NotFoundError) as caught:
            create()
        assert caught.value.code == "model_not_found"
        assert "there are base, base:formal; did you mean 'base:formal'?" in caught.value.body["message"]
    with pytest.raises(openai.NotFoundError):
        chat(client, model="formal")


def test_a_prompt_longer_than_the_context_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="the model holds 500; send a shorter one"):
        chat(client, "x" * 600)
    with pytest.raises(openai.BadRequestError, match="the model holds 500; send a shorter one"):
        chat(client, max_tokens=490)


def test_a_model_without_a_template_takes_one_user_message(client):
    for messages in ([{"role": "system", "content": "x"}], [{"role": "user", "content": "x"}] * 2):
        with pytest.raises(openai.BadRequestError, match="no chat template, so it takes one message of the role user"):
            chat(client, messages=messages)


def test_text_parts_are_joined(client):
    parts = [{"type": "text", "text": "Make it shine.\n\nHe "}, {"type": "text", "text": "go home."}]
    assert chat(client, parts).choices[0].message.content == "He go home."
    with pytest.raises(openai.UnprocessableEntityError, match=r"content"):
        chat(client, [{"type": "image_url", "image_url": {"url": "x"}}])


PROMPT = "### Input:\n{}\n\n### Response:\n"


def test_prompts_are_continued_as_they_stand_in_their_order(client, engine):
    answer = client.completions.create(model="base:formal", prompt=[PROMPT.format("one"), PROMPT.format("two")], max_tokens=50)
    assert [(choice.index, choice.text, choice.finish_reason) for choice in answer.choices] == [
        (0, "formal: one", "stop"),
        (1, "formal: two", "stop"),
    ]
    assert CharacterTokenizer().decode(engine.batches[-1][0].prompt_ids) == PROMPT.format("one")
    assert answer.usage.prompt_tokens == 2 * len(PROMPT.format("one"))
    assert answer.object == "text_completion"


def test_a_prompt_may_be_token_ids(client):
    ids = [ord(character) for character in PROMPT.format("one")]
    assert client.completions.create(model="base", prompt=ids).choices[0].text == "one"
    many = client.completions.create(model="base", prompt=[ids, ids], max_tokens=2, stop="n")
    assert [choice.text for choice in many.choices] == ["o", "o"]
    with pytest.raises(openai.BadRequestError, match="token ids must be from 0 to 1114111, got -1 to 5"):
        client.completions.create(model="base", prompt=[5, -1])


def test_a_completion_without_a_limit_has_openais_sixteen_tokens(client):
    answer = client.completions.create(model="base", prompt=PROMPT.format("x" * 30))
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("x" * 16, "length")


@pytest.mark.parametrize("prompt", ["", []])
def test_a_prompt_of_nothing_is_refused(client, prompt):
    with pytest.raises(openai.APIStatusError, match="prompt"):
        client.completions.create(model="base", prompt=prompt)


def test_models_are_listed_for_the_official_client(client):
    assert [model.id for model in client.models.list()] == ["base", "base:formal"]


def test_the_official_client_comes_back_to_a_busy_endpoint():
    class BusyAtFirst(LocalBackend):
        calls = 0

        async def complete(self, prompts):
            self.calls += 1
            if self.calls == 1:
                raise BusyError
            return await super().complete(prompts)

    answerer = Answerer(engine=EchoEngine(), tokenizer=CharacterTokenizer(), context_length=CONTEXT, score=nothing_lost)
    with running(make_app(BusyAtFirst(answerer), FRONT)) as url, client_of(url, max_retries=1) as client:
        assert chat(client).choices[0].message.content == "He go home."


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"echo": True}, "go together"),
        ({"logprobs": 2}, "go together"),
        ({"echo": True, "logprobs": 1, "max_tokens": 5}, "send max_tokens: 1"),
        ({"echo": True, "logprobs": 1}, "send max_tokens: 1"),
        ({"echo": True, "logprobs": 9, "max_tokens": 1}, "less than or equal to 5"),
        ({"echo": True, "logprobs": 1, "max_tokens": 1}, "this engine does not tell them"),
    ],
)
def test_likelihoods_are_told_of_prompts_alone_and_where_they_are_known(client, settings, words):
    with pytest.raises(openai.APIStatusError, match=words):
        client.completions.create(model="base", prompt="x", **settings)


def test_a_real_model_tells_the_likelihood_of_each_token_of_a_prompt(tiny_model):
    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)

    def scored(prompts, adapter, top):
        return likelihoods(base.model, prompts, pad_id=base.tokenizer.pad_token_id, top=top, adapter=adapter)

    engine = TransformersEngine(base.model, base.tokenizer)
    answerer = Answerer(engine=engine, tokenizer=base.tokenizer, context_length=1024, score=nothing_lost, likelihoods=scored)
    texts = ["He go home.", "They was late again."]
    with running(make_app(LocalBackend(answerer), FRONT)) as url, client_of(url) as client:
        answer = client.completions.create(model="base", prompt=texts, max_tokens=1, temperature=0, echo=True, logprobs=2)
    for text, choice in zip(texts, answer.choices, strict=True):
        ids = base.tokenizer(text)["input_ids"]
        told, rows = choice.logprobs, torch.log_softmax(base.model(torch.tensor([ids])).logits[0], -1)
        assert told.token_logprobs[0] is None
        assert told.token_logprobs[1:-1] == pytest.approx(
            [rows[place, token].item() for place, token in enumerate(ids[1:])], abs=1e-4
        )
        assert told.token_logprobs[-1] == pytest.approx(rows[-1].max().item(), abs=1e-4)
        assert [max(best.values()) for best in told.top_logprobs[1:]] == pytest.approx(rows.max(-1).values.tolist(), abs=1e-4)
        assert choice.text.startswith(text)
        assert len(told.tokens) == len(told.text_offset) == len(told.top_logprobs) == len(ids) + 1
        assert all(choice.text[place:].startswith(token) for place, token in zip(told.text_offset, told.tokens, strict=True))
    assert answer.usage.completion_tokens == 2


def test_a_real_model_answers_a_chat_as_the_engine_does(tiny_model):
    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    engine = TransformersEngine(base.model, base.tokenizer)
    answerer = Answerer(engine=engine, tokenizer=base.tokenizer, context_length=1024, score=nothing_lost)
    ids = prompt_ids(base.tokenizer, "Make it shine.", "He go home.")
    (expected,) = engine.answer([Request(prompt_ids=ids, max_new_tokens=12)])
    with running(make_app(LocalBackend(answerer), FRONT)) as url, client_of(url) as client:
        answer = chat(client, max_tokens=12)
        told = chat(
            client, messages=[{"role": role, "content": "Hm."} for role in ("developer", "user", "assistant", "user")], max_tokens=1
        )
    assert answer.choices[0].message.content == expected.text
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), expected.tokens)
    assert answer.choices[0].finish_reason == ("stop" if expected.ended else "length")
    turns = "".join(f"<|im_start|>{role}\nHm.<|im_end|>\n" for role in ("system", "user", "assistant", "user"))
    assert told.usage.prompt_tokens == len(base.tokenizer(f"{turns}<|im_start|>assistant\n", add_special_tokens=False)["input_ids"])
