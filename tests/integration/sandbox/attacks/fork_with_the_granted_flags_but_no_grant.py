# Expect: STATUS_KILLED
call('clone', 0x8011, 0, 0, 0, 0)
