"""Use a running server: bring documents, ask, read an answer as it is written, look at the graph.

    lightrag-server                                     # in another terminal
    python examples/client.py [FOLDER]

The server is LIGHTRAG_URL (http://localhost:9621 by default), its key LIGHTRAG_API_KEY. Files of FOLDER are uploaded.
"""

import os
import sys

from lightrag.client import ClientError, LightRAGClient

TEXTS = {
    "ada.txt": "Ada Lovelace wrote the first program, for the Analytical Engine of Charles Babbage.",
    "grace.txt": "Grace Hopper led the team that wrote the first compiler, for the UNIVAC computer.",
}


def main(folder=None):
    url, key = os.getenv("LIGHTRAG_URL", "http://localhost:9621"), os.getenv("LIGHTRAG_API_KEY")
    with LightRAGClient(url, api_key=key, workspace="sdk-example") as client:
        if folder:
            accepted = client.documents.upload_folder(folder)
            print("uploaded:", ", ".join(accepted.uploaded))
            for name, error in accepted.refused.items():
                print("refused:", name, "-", error)
        else:
            accepted = client.documents.insert_texts(list(TEXTS.values()), list(TEXTS))
        tracked = client.documents.wait(accepted, timeout=300)
        for document in tracked.failed:
            print("failed:", document.file_path, "-", document.error_msg)

        answer = client.query("Who wrote the first program?")
        print(answer, "-", ", ".join(reference.file_path for reference in answer.references))

        with client.query.stream("Who led the team of the first compiler?", top_k=10) as stream:
            for piece in stream:
                print(piece, end="", flush=True)
        print()

        print("in the graph:", ", ".join(client.graph.popular(5)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:2])
    except ClientError as error:
        sys.exit(f"{type(error).__name__}: {error}")
