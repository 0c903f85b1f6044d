"""FastAPI and ONNX Runtime, one image a run: what most people write first. POST /v1/classify

    PEER_MODEL=... uvicorn --app-dir tests/bench/peers fastapi_server:app --host 127.0.0.1 --port PORT
"""
from classifier import Network, load
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

path, preprocess = load()
network = Network(path)
app = FastAPI()


@app.post("/v1/classify")
async def classify(request: Request):
    body = await request.body()
    return await run_in_threadpool(lambda: network([preprocess(body)])[0])
