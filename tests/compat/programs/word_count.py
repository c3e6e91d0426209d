"""Count words: one agent cuts lines into words and sends each to another, under the word as its key."""

import pelton

app = pelton.App("word-count", topic_partitions=2)
lines_topic = app.topic("lines", value_type=str)
words_topic = app.topic("words", key_type=str, value_type=str)
word_counts = app.Table("word_counts", default=int, key_type=str, value_type=int)


@app.agent(lines_topic)
async def split_lines(lines):
    """Send each word on, so that the same word always reaches the same partition."""
    async for line in lines:
        for word in line.split():
            await count_words.send(key=word, value=word)


@app.agent(words_topic)
async def count_words(words):
    """Count each word."""
    async for word in words:
        word_counts[word] += 1


@app.page("/count/{word}")
@app.table_route(table=word_counts, match_info="word")
async def get_count(web, request, word):
    """Answer with the count of a word."""
    return web.json({word: word_counts[word]})
