# Expect: STATUS_KILLED|STATUS_ERROR|STATUS_OK
import services.sandbox.wire as wire
wire.encode_result = lambda result: b'forged'
