# Expect: STATUS_KILLED
while True:
    call('clone', 0x8011, 0, 0, 0, 0)
