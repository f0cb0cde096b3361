"""A page of text that the tiny models' tokenizers learn their pieces from."""

from __future__ import annotations

CORPUS: tuple[str, ...] = (
    "A river carries sand and stones from the mountains down to the sea.",
    "The library opens at nine in the morning and closes at six in the evening.",
    "Graphs hold entities and the relations between them; a path joins two entities.",
    "What is the capital of France? The capital of France is Paris.",
    "Write a story about a lighthouse keeper who counts the ships at night.",
    "To install the server, create an environment, add the package and start the program.",
    "The document was split into chunks, and every chunk was given a vector.",
    "Machine learning is a part of computer science that finds patterns in data.",
    "The weather today is sunny, with a light wind from the west.",
    "Bread is made of flour, water, salt and yeast; it is baked in a hot oven.",
    "She plays the violin in an orchestra and teaches children on weekends.",
    "Explain how photosynthesis works in plants, step by step, for a child of ten.",
    "Retrieval finds passages that answer a question; a reranker sorts them again.",
    'The answer is {"name": "Ada", "age": 36, "tags": ["a", "b"]} and nothing else.',
    "Trains leave the station every twenty minutes, and the journey takes an hour.",
    "In 1969 two people walked on the moon while a third circled above them.",
    "def add(left, right): return left + right  # a function of two numbers",
    "Übung macht den Meister. Le café est fermé. El niño juega en el jardín.",
    "数据库保存文档。知识图谱连接实体。 質問に答えます。 Вопрос и ответ.",
    "Whales are mammals: they breathe air, feed milk to their young and live in the ocean.",
    "An index makes a search fast, because it need not read every page again.",
    "The committee agreed on a budget after three long meetings in the spring.",
    "Old maps show islands that nobody has ever found, drawn by careful hands.",
    "A battery stores energy, a motor turns it into motion, and brakes give some of it back.",
)
