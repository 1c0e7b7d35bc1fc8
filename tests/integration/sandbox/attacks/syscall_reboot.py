# Expect: refused
print(call('reboot', 0xfee1dead, 672274793, 0x1234567, 0))
