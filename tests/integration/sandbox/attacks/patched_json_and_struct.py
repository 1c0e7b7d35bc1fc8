# Expect: STATUS_OK
import json, struct
json.dumps = json.loads = struct.pack = None
