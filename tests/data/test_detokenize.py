"""The detokenisation policy, case by case, and the two properties that everything else leans on."""

import pytest

from mixwright.data.detokenize import detokenize
from mixwright.data.embedded import TASKS, embedded_rows

CASES = {
    # marks that join what stands before
    "We left , and it rained .": "We left, and it rained.",
    "Really ? Yes ! Of course ; why not :": "Really? Yes! Of course; why not:",
    "What ?! Never !!!": "What?! Never!!!",
    "The bus ( number 9 ) was late .": "The bus (number 9) was late.",
    "He sang [ badly ] and {loudly } .": "He sang [badly] and {loudly}.",
    "-LRB- see below -RRB- and -LSB- 3 -RSB-": "(see below) and [3]",
    "( a ( b ) c )": "(a (b) c)",
    # numbers and money
    "It cost $ 5 or £ 4 , up 20 % .": "It cost $5 or £4, up 20%.",
    "On May 5 , 1990 , it opened .": "On May 5, 1990, it opened.",
    # contractions and possessives
    "I do n't know what she 's done .": "I don't know what she's done.",
    "They 've said we 'll go ; I 'd stay , you 're right , I 'm sure .": "They've said we'll go; I'd stay, you're right, I'm sure.",
    "DO N'T !": "DON'T!",
    "It is n’t Ann ’s .": "It isn’t Ann’s.",
    "the teachers ' room": "the teachers' room",
    "I 'm gon na go , you wan na stay , he got ta run": "I'm gonna go, you wanna stay, he gotta run",
    # quotes
    'She said " go home " twice .': 'She said "go home" twice.',
    "She said `` go home '' twice .": 'She said "go home" twice.',
    "The film '' Red Sky '' , of 1990 , won .": 'The film "Red Sky", of 1990, won.',
    'An " odd " and a " second " pair': 'An "odd" and a "second" pair',
    '"Half glued " , she said': '"Half glued", she said',
    "He called it ' odd ' .": "He called it 'odd'.",
    "They wrote ` odd ' on it .": "They wrote 'odd' on it.",
    "“ Fine ” , he said": "“Fine”, he said",
    "the girls ' song ' Rain ' won": "the girls' song 'Rain' won",
    # a tokeniser's own second dot
    "He moved to the U.S. .": "He moved to the U.S.",
    "It was sold by Bell Inc. .": "It was sold by Bell Inc.",
    # blanks
    "  two   blanks\u00a0and more  ": "two blanks and more",
    "one .\ntwo , three": "one.\ntwo, three",
    "": "",
}

LEFT_ALONE = [
    "A plain sentence, with commas; and more (in brackets), isn't touched.",
    "She said \"no\" and 'yes' at 10:30 a.m. for $5.00 (20% off)!",
    "The teachers' room is on the left - not the right - of the hall.",
    "The score was 3 : 16 in the end.",
    "Wait ... what?",
    "And so on . . . for ever",
    "You can not be serious, and you cannot know.",
    "Thanks :) see you ;) and :(",
    "a ) first, b ) second",
    'His 5 " pipe',
    "A well-known, state-of-the-art and/or new idea",
    "rock 'n' roll of the '90s",
    "Visit www.example.org/index.html, or write to a@b.org.",
    "the 'spirit' of it",
    "Her sister has got a tall ta",
    "U.S.A.",
]


@pytest.mark.parametrize(("tokenised", "plain"), CASES.items(), ids=CASES)
def test_tokenised_text_reads_as_people_write_it(tokenised, plain):
    assert detokenize(tokenised) == plain


@pytest.mark.parametrize("text", [*LEFT_ALONE, *CASES.values()])
def test_clean_text_comes_back_unchanged(text):
    assert detokenize(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *CASES,
        "she '' sang '' . '' x '' .",
        "' , ' A ' ' B ' and ' C '",
        "` ` a ' ' , ' ''",
        ": ( 1 ) ; ( 2",
        '" " " , " a',
        ". . . . a . .",
        "x '' .",
    ],
)
def test_applied_twice_gives_the_same_as_once(text):
    once = detokenize(text)
    assert detokenize(once) == once


def test_words_are_never_lost():
    text = "`` Well '' , she said ( ' quietly ' ) , `` I 'm 20 % sure of $ 5 . ''"
    letters = [character for character in text if character.isalnum()]
    assert [character for character in detokenize(text) if character.isalnum()] == letters


@pytest.mark.parametrize("task", [task for task in TASKS if task != "generic"])
def test_built_in_sentences_are_clean_and_come_back_unchanged(task):
    rows = embedded_rows(task, "dev", 60, seed=0)
    texts = [text for row in rows for text in (row.text, *row.references)]
    assert [text for text in texts if detokenize(text) != text] == []
