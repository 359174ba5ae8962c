#!/usr/bin/env python3
"""An NBD client that asks for what well-behaved ones do not: raw_nbd.py SOCKET (write|read|zero) OFFSET BYTES [PATTERN]

Prints the error number of the answer (0: done). PATTERN is one byte, written over the range, or expected of what is read: another
content prints "different". Protocol: newstyle negotiation, NBD_OPT_EXPORT_NAME, simple replies.
"""
import socket
import struct
import sys

FIXED_NEWSTYLE = NO_ZEROES = 3
COMMANDS = {"read": 0, "write": 1, "zero": 6}
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698


def receive(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            sys.exit("the server closed the connection")
        data += piece
    return data


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(path)
    if receive(connection, 18)[:16] != b"NBDMAGICIHAVEOPT":
        sys.exit("not an NBD server")
    connection.sendall(struct.pack(">I", FIXED_NEWSTYLE) + b"IHAVEOPT" + struct.pack(">II", 1, 0))
    receive(connection, 10)  # size and flags
    return connection


def main():
    path, command, offset, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    pattern = bytes([int(sys.argv[5]) if len(sys.argv) > 5 else 0])
    connection = connect(path)
    data = pattern * count if command == "write" else b""
    connection.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, COMMANDS[command], 7, offset, count) + data)
    magic, error, handle = struct.unpack(">IIQ", receive(connection, 16))
    if magic != REPLY_MAGIC or handle != 7:
        sys.exit("not the answer to this request")
    if command == "read" and error == 0 and receive(connection, count) != pattern * count:
        print("different")
    else:
        print(error)


if __name__ == "__main__":
    main()
