# What `program.ts` holds as bytes: an EFI application (x86-64) that writes what firmware measures of a machine to port 0xe9, and powers off.
# One byte after the other: the directory of fw_cfg and each of its files, item 0x0e, then in blocks (length, bytes) the SMBIOS tables and
# of each UEFI variable its name, its vendor with its attributes, and its data; a block without bytes ends it.
# as -o program.o program.S && objcopy -O binary -j .text program.o program.bin
.intel_syntax noprefix
.code64
.globl _start
_start:
    push rbx
    # Room for the arguments of a call; rsp is a multiple of 16.
    sub rsp, 0x30
    # The system table: rdx of an entry point.
    mov r15, rdx
    mov ax, 0x19
    call select
    # Count, big-endian.
    xor r12d, r12d
    mov ecx, 4
1:  in al, dx
    call emit
    shl r12d, 8
    mov r12b, al
    dec ecx
    jnz 1b
    mov ecx, r12d
    shl ecx, 6
    call copy
    xor r13d, r13d
files:
    cmp r13d, r12d
    jae menu
    # The entry once more: size and item, big-endian.
    mov ax, 0x19
    call select
    mov ecx, r13d
    shl ecx, 6
    add ecx, 4
1:  in al, dx
    dec ecx
    jnz 1b
    mov ecx, 6
    xor ebx, ebx
2:  in al, dx
    shl rbx, 8
    mov bl, al
    dec ecx
    jnz 2b
    mov ax, bx
    call select
    shr rbx, 16
    mov ecx, ebx
    call copy
    inc r13d
    jmp files
menu:
    mov ax, 0x0e
    call select
    mov ecx, 2
    call copy
    # In the configuration table: version 3 of SMBIOS, else version 2. Of their GUIDs the first half.
    mov rcx, [r15 + 0x68]
    mov rsi, [r15 + 0x70]
    movabs rax, 0x4a2c9794f2fd1544
    movabs rdx, 0x11d32d88eb9d2d31
    xor r12d, r12d
tables:
    test rcx, rcx
    jz smbios
    mov rdi, [rsi + 16]
    cmp [rsi], rdx
    jne 1f
    movzx r12d, word ptr [rdi + 0x16]
    mov r13d, [rdi + 0x18]
    jmp 2f
1:  cmp [rsi], rax
    jne 2f
    mov r12d, [rdi + 0x0c]
    mov r13, [rdi + 0x10]
    jmp smbios
2:  add rsi, 24
    dec rcx
    jmp tables
smbios:
    mov rsi, r13
    mov ecx, r12d
    call block
    # GetNextVariableName and GetVariable, with their operands behind this code.
    lea rbx, [rip + end]
    mov r14, [r15 + 0x58]
    mov word ptr [rbx + 0x100], 0
variables:
    mov qword ptr [rbx], 0x400
    mov rcx, rbx
    lea rdx, [rbx + 0x100]
    lea r8, [rbx + 0x10]
    call [r14 + 0x50]
    test rax, rax
    jnz off
    mov qword ptr [rbx + 8], 0x8000
    lea rcx, [rbx + 0x100]
    lea rdx, [rbx + 0x10]
    lea r8, [rbx + 0x20]
    lea r9, [rbx + 8]
    lea rax, [rbx + 0x500]
    mov [rsp + 0x20], rax
    call [r14 + 0x48]
    test rax, rax
    jnz variables
    lea rsi, [rbx + 0x100]
    mov ecx, [rbx]
    call block
    lea rsi, [rbx + 0x10]
    mov ecx, 20
    call block
    lea rsi, [rbx + 0x500]
    mov ecx, [rbx + 8]
    call block
    jmp variables
off:
    xor ecx, ecx
    call block
    # ACPI's S5, at the address that OVMF gives to q35.
1:  mov dx, 0x604
    mov ax, 0x2000
    out dx, ax
    hlt
    jmp 1b
# Of fw_cfg the item in ax; dx is its data port then.
select:
    mov dx, 0x510
    out dx, ax
    inc edx
    ret
copy:
    test ecx, ecx
    jz 2f
1:  in al, dx
    call emit
    dec ecx
    jnz 1b
2:  ret
# ecx bytes at rsi, behind their number.
block:
    mov eax, ecx
    mov edi, 4
1:  call emit
    shr eax, 8
    dec edi
    jnz 1b
2:  test ecx, ecx
    jz 3f
    mov al, [rsi]
    call emit
    inc rsi
    dec ecx
    jmp 2b
3:  ret
emit:
    out 0xe9, al
    ret
end:
