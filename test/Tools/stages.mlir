// RUN: rm -rf %t
// RUN: elfatt-opt %s --stop-after=first --dump-stages=%t -o %t.out.mlir \
// RUN:   --pass-pipeline='builtin.module(elfatt-end-stage{stage=none},canonicalize,elfatt-end-stage{stage=first},symbol-dce,elfatt-end-stage{stage=second})'
// RUN: FileCheck %s --check-prefix=NONE --input-file=%t/01-none.mlir
// RUN: FileCheck %s --check-prefix=FIRST --input-file=%t/02-first.mlir
// RUN: FileCheck %s --check-prefix=FIRST --input-file=%t.out.mlir
// RUN: not ls %t/03-second.mlir

// RUN: %exits 2 elfatt-opt %s --stop-after=third \
// RUN:   --pass-pipeline='builtin.module(elfatt-end-stage{stage=first},elfatt-end-stage{stage=second})' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=UNKNOWN
// UNKNOWN: error: cannot stop after 'third': expected one of first, second

// RUN: %exits 2 elfatt-opt %s --stop-after=first --canonicalize 2>&1 | FileCheck %s --check-prefix=NOSTAGES
// NOSTAGES: error: cannot stop after 'first': no pass pipeline with stages is run

// NONE: arith.constant
// FIRST-NOT: arith.constant
// FIRST: func private @unused
func.func private @unused() {
  %0 = arith.constant 1 : index
  return
}
