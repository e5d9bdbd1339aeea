"""web3.py against a running dev node: python web3py.py NOTARY.json OFFICIAL_CASE.json

Environment: PARS_HTTP_URL, PARS_WS_URL, PARS_IPC_PATH. NOTARY.json is what lib/compile.mjs writes; the case is lib/official_case.json.
"""

import asyncio
import json
import os
import platform
import sys
import time
from importlib.metadata import version

from eth_account import Account
from web3 import AsyncWeb3, Web3
from web3.exceptions import ContractCustomError, ContractLogicError, TransactionNotFound, Web3RPCError
from web3.providers import AsyncIPCProvider, IPCProvider, WebSocketProvider

MNEMONIC = "test test test test test test test test test test test junk"

Account.enable_unaudited_hdwallet_features()
passed = 0


def ok(text):
    """Says that a step passed."""
    global passed
    passed += 1
    print(f"  ok   {text}", flush=True)


def equal(left, right, what):
    """Fails unless both are the same."""
    if left != right:
        raise AssertionError(f"{what}: {left!r} is not {right!r}")


def holds(condition, what):
    """Fails unless the condition holds."""
    if not condition:
        raise AssertionError(what)


def fails(kind, work, what):
    """The error of that kind that the work raises."""
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"{what} should have failed")


def over_http(notary_code, case):
    """The whole path over HTTP. Answers the contract's address."""
    w3 = Web3(Web3.HTTPProvider(os.environ["PARS_HTTP_URL"]))
    account = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/0")
    equal(w3.eth.chain_id, 6133, "chain id")
    holds(w3.eth.get_balance(account.address) >= Web3.to_wei(1000, "ether"), "the account is funded")
    holds(w3.eth.max_priority_fee > 0 and w3.eth.gas_price > 0, "fees are above zero")
    ok(f"chain 6133, {w3.client_version}, gas price {w3.eth.gas_price}")

    def send(transaction):
        signed = account.sign_transaction(transaction)
        return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction), timeout=30, poll_latency=0.05)

    def base(**fields):
        return {"from": account.address, "nonce": w3.eth.get_transaction_count(account.address), "chainId": 6133, **fields}

    target = Account.create().address
    gas_price = w3.eth.gas_price
    kinds = [
        {"gasPrice": gas_price},
        {"gasPrice": gas_price, "type": 1, "accessList": []},
        {"maxFeePerGas": 2 * gas_price, "maxPriorityFeePerGas": w3.eth.max_priority_fee},
    ]
    for expected, fees in enumerate(kinds):
        receipt = send(base(to=target, value=3, gas=21000, **fees))
        equal((receipt["type"], receipt["status"], receipt["gasUsed"]), (expected, 1, 21000), f"receipt of type {expected}")
    equal(w3.eth.get_balance(target), 9, "balance of the target")
    ok("transfers of type 0, 1 and 2")

    factory = w3.eth.contract(abi=notary_code["abi"], bytecode=notary_code["bytecode"])
    receipt = send(factory.constructor().build_transaction(base()))
    notary = w3.eth.contract(address=receipt["contractAddress"], abi=notary_code["abi"])
    holds(len(w3.eth.get_code(notary.address)) > 500, "the contract has code")
    ok(f"deployed with {receipt['gasUsed']} gas")

    valid, tampered = case
    for arguments, verdict in ((valid, True), (tampered, False)):
        equal(notary.functions.ask(*arguments).call(), verdict, "eth_call")
        receipt = send(notary.functions.check(*arguments).build_transaction(base()))
        equal(receipt["status"], 1, "status of a check")
        (event,) = notary.events.Checked().process_receipt(receipt)
        equal(event["args"]["valid"], verdict, "the event's verdict")
        equal(event["args"]["messageHash"], Web3.keccak(arguments[1]), "the event's message")
    equal((notary.functions.accepted().call(), notary.functions.rejected().call()), (1, 1), "stored verdicts")
    ok("a valid and a tampered signature through calls and transactions")

    error = fails(ContractLogicError, lambda: notary.functions.refuse().call(), "refuse()")
    holds("the notary refuses" in str(error), f"reason in {error}")
    fails(ContractCustomError, lambda: notary.functions.requireAuthentic(*tampered).call(), "requireAuthentic")
    fails(ContractCustomError, lambda: notary.functions.requireAuthentic(*tampered).estimate_gas({"from": account.address}), "an estimate")
    ok("revert reasons")

    old = fails(Web3RPCError, lambda: send({**base(to=target, value=1, gas=21000, gasPrice=gas_price), "nonce": 0}), "an old nonce")
    holds("nonce too low" in str(old), f"words in {old}")
    fails(TransactionNotFound, lambda: w3.eth.get_transaction(b"\x01" * 32), "an unknown transaction")
    ok("refused transactions")

    logs = notary.events.Checked().get_logs(from_block=0)
    equal([log["args"]["valid"] for log in logs], [True, False], "logs")
    block = w3.eth.get_block("latest", full_transactions=True)
    equal(block["transactions"][0]["hash"], logs[-1]["transactionHash"], "the last block's transaction")
    holds(abs(time.time() - block["timestamp"]) < 60, "the head's time is now")
    ok(f"logs and blocks, head {block['number']}")
    return notary.address


async def over_websocket(notary_code, address, case):
    """Subscriptions over WebSocket."""
    async with AsyncWeb3(WebSocketProvider(os.environ["PARS_WS_URL"])) as w3:
        account = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/1")
        notary = w3.eth.contract(address=address, abi=notary_code["abi"])
        heads = await w3.eth.subscribe("newHeads")
        logs = await w3.eth.subscribe("logs", {"address": address})
        valid, _ = case
        transaction = await notary.functions.check(*valid).build_transaction(
            {"from": account.address, "nonce": await w3.eth.get_transaction_count(account.address)}
        )
        sent = await w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
        seen = {}
        async with asyncio.timeout(30):
            async for message in w3.socket.process_subscriptions():
                result = message["result"]
                if message["subscription"] == logs and result["transactionHash"] == sent:
                    seen["log"] = result["blockHash"]
                if message["subscription"] == heads:
                    seen.setdefault("heads", []).append(result["hash"])
                if "log" in seen and seen["log"] in seen.get("heads", []):
                    break
        holds(await w3.eth.unsubscribe(heads), "unsubscribe")
        holds(await w3.eth.unsubscribe(logs), "unsubscribe")
    ok("block and log events over WebSocket")


def over_ipc(notary_code, address, case):
    """Calls, transactions and errors over the Unix domain socket."""
    w3 = Web3(IPCProvider(os.environ["PARS_IPC_PATH"]))
    equal(w3.eth.chain_id, 6133, "chain id")
    account = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/2")
    notary = w3.eth.contract(address=address, abi=notary_code["abi"])
    valid, tampered = case
    equal([notary.functions.ask(*arguments).call() for arguments in case], [True, False], "eth_call")
    nonce = w3.eth.get_transaction_count(account.address)
    transaction = notary.functions.check(*tampered).build_transaction({"from": account.address, "nonce": nonce})
    sent = w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=30, poll_latency=0.05)
    equal(receipt["status"], 1, "status of a check")
    # A block of many bytes in one answer.
    block = w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    equal(block["transactions"][0]["hash"], sent, "the block's transaction")
    error = fails(ContractLogicError, lambda: notary.functions.refuse().call(), "refuse()")
    holds("the notary refuses" in str(error), f"reason in {error}")
    fails(TransactionNotFound, lambda: w3.eth.get_transaction(b"\x01" * 32), "an unknown transaction")
    ok("calls, a transaction and errors over IPC")


async def subscribed_over_ipc():
    """Subscriptions over the Unix domain socket."""
    async with AsyncWeb3(AsyncIPCProvider(os.environ["PARS_IPC_PATH"])) as w3:
        account = Account.from_mnemonic(MNEMONIC, account_path="m/44'/60'/0'/0/3")
        heads = await w3.eth.subscribe("newHeads")
        before = await w3.eth.block_number
        transaction = {"to": account.address, "value": 1, "gas": 21000, "chainId": 6133}
        transaction["gasPrice"] = await w3.eth.gas_price
        transaction["nonce"] = await w3.eth.get_transaction_count(account.address)
        await w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
        async with asyncio.timeout(30):
            async for message in w3.socket.process_subscriptions():
                equal(message["subscription"], heads, "the subscription")
                holds(message["result"]["number"] > before, "a newer block")
                break
        holds(await w3.eth.unsubscribe(heads), "unsubscribe")
    ok("block events over IPC")


def main():
    """Runs all transports."""
    print(f"web3.py {version('web3')}, Python {platform.python_version()}", flush=True)
    with open(sys.argv[1], encoding="utf-8") as file:
        notary_code = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        group = json.load(file)["testGroups"][0]
    test = group["tests"][0]
    key, message, signature = (bytes.fromhex(digits) for digits in (group["publicKey"], test["msg"], test["sig"]))
    bad = bytearray(signature)
    bad[100] ^= 1
    case = ((key, message, signature), (key, message, bytes(bad)))
    address = over_http(notary_code, case)
    asyncio.run(over_websocket(notary_code, address, case))
    over_ipc(notary_code, address, case)
    asyncio.run(subscribed_over_ipc())
    print(f"web3.py: {passed} steps passed")


main()
