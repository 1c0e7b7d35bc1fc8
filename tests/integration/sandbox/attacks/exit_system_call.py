# Expect: STATUS_KILLED
call('exit_group', 0)
