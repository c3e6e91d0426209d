"""Tables of sets, global tables, tables as dicts."""

import pelton

app = pelton.App("kinds-of-tables", topic_partitions=2)
visits_topic = app.topic("visits", key_type=str, value_type=str)
visitors = app.SetTable("visitors", key_type=str, value_type=str)
prices = app.GlobalTable("prices", default=float, key_type=str, value_type=float)
flags = app.SetGlobalTable("flags", key_type=str, value_type=str)
notes = app.Table("notes", key_type=str, value_type=str)
nested = app.Table("nested", default=dict, key_type=str)
balances = app.Table("balances", default=int, key_type=str)
tags = app.Table("tags", default=set, key_type=str)
prices_topic = app.topic("prices-in", key_type=str, value_type=float)
commands_topic = app.topic("commands", key_type=str, value_type=str)
found = []


@app.agent(visits_topic)
async def visit(stream):
    """Remember who was where."""
    async for page, person in stream.items():
        visitors[page].add(person)
        flags["all"] |= {person}


@app.agent(prices_topic)
async def price(stream):
    async for product, amount in stream.items():
        prices[product] = amount
        balances[product] += amount
        tags[product] |= {"seen"}


@app.agent(commands_topic)
async def as_dict(stream):
    """Use a table as a dict is used."""
    async for key, command in stream.items():
        if command == "write":
            notes[key] = "first"
            notes.update({key: "second"})
            notes.setdefault(key, "third")
            nested[key] = {"a": {"b": [1, 2]}}
            found.append((notes[key], notes.get("missing"), key in notes, list(notes.items()), len(notes)))
        elif command == "delete":
            found.append((notes.pop(key), notes.pop(key, None), key in notes))
            try:
                notes[key]
            except KeyError:
                found.append("no default")
            del nested[key]
