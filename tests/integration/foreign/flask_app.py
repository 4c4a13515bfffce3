"""A web application as people write it with Flask; it knows nothing of a budget."""

import os

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/pid")
def tell_pid() -> str:
    return str(os.getpid())


@app.get("/orders/<int:count>")
def list_orders(count: int) -> Response:
    return jsonify([{"id": number, "price": number * 1.5} for number in range(count)])
