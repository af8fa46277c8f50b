// Bad options are errors that name the option, with exit status 2.

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: elfatt-approximate: expected a window, such as window=7x7, got none

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=7x" 2>&1 | FileCheck %s --check-prefix=HALF
// HALF: error: elfatt-approximate: window: expected extents of at least 1 such as 7x7, got '' in '7x'

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=0x7" 2>&1 | FileCheck %s --check-prefix=ZERO
// ZERO: error: elfatt-approximate: window: expected extents of at least 1 such as 7x7, got '0' in '0x7'

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=-1" 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// NEGATIVE: error: elfatt-approximate: window: expected extents of at least 1 such as 7x7, got '-1' in '-1'

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=99999999999999999999" 2>&1 | FileCheck %s --check-prefix=HUGE
// HUGE: error: elfatt-approximate: window: expected extents

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=7x7 grid=56" 2>&1 | FileCheck %s --check-prefix=AXES
// AXES: error: elfatt-approximate: grid: expected as many axes as the window has, got '56' and '7x7'

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=7x7 grid=56x50" 2>&1 | FileCheck %s --check-prefix=MULTIPLE
// MULTIPLE: error: elfatt-approximate: grid: expected multiples of the window, got 50 and 7

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=7x7 prefix=-2" 2>&1 | FileCheck %s --check-prefix=PREFIX
// PREFIX: error: elfatt-approximate: prefix: expected at least -1, got -2

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=7x7 min-tokens=-1" 2>&1 | FileCheck %s --check-prefix=TOKENS
// TOKENS: error: elfatt-approximate: min-tokens: expected at least 0, got -1

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="window=7x7 global-heads=two" 2>&1 | FileCheck %s --check-prefix=HEADS
// HEADS: for the --global-heads option: 'two' value invalid

// RUN: %exits 2 elfatt-opt %s --elfatt-approximate="widow=7x7" 2>&1 | FileCheck %s --check-prefix=NAME
// NAME: no such option widow

module {}
