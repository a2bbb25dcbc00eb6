// SPDX-License-Identifier: GPL-2.0-or-later
// The PC's DSDT: i440FX host bridge, PIIX3 interrupt links, legacy ISA devices, power button and S5. Compiled by iasl
// at build time. Addresses agree with emu/machine/pc.cc and with what the firmware programs. [ACPI 6.4]
DefinitionBlock ("", "DSDT", 1, "XIAOMA", "XMPC", 0x00000001)
{
    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_ADR, 0)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0x0000, 0x00FF, 0, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite, 0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0, 0xE0000000, 0xFEBFFFFF, 0, 0x1EC00000)
            })

            // Slot s, pin p goes to link (s + p - 1) mod 4, as the board is wired; the power-management function's
            // interrupt is the SCI.
            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (128) {}
                Local1 = Zero
                While (Local1 < 128)
                {
                    Local2 = Local1 >> 2
                    Local3 = (Local1 + Local2) & 3
                    If (Local3 == 0) { Local4 = Package (4) { Zero, Zero, LNKD, Zero } }
                    If (Local3 == 1)
                    {
                        If (Local1 == 4) { Local4 = Package (4) { Zero, Zero, LNKS, Zero } }
                        Else { Local4 = Package (4) { Zero, Zero, LNKA, Zero } }
                    }
                    If (Local3 == 2) { Local4 = Package (4) { Zero, Zero, LNKB, Zero } }
                    If (Local3 == 3) { Local4 = Package (4) { Zero, Zero, LNKC, Zero } }
                    Local4 [0] = (Local2 << 16) | 0xFFFF
                    Local4 [1] = Local1 & 3
                    Local0 [Local1] = Local4
                    Local1++
                }
                Return (Local0)
            }

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 0x04)

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () {1}
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () {12} })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08) IRQNoFlags () {4} })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x02F8, 0x02F8, 0x00, 0x08) IRQNoFlags () {3} })
                }
                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0070, 0x0070, 0x01, 0x08) IRQNoFlags () {8} })
                }
                Device (FDC0)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F2, 0x03F2, 0x00, 0x04)
                        IO (Decode16, 0x03F7, 0x03F7, 0x00, 0x01)
                        IRQNoFlags () {6}
                        DMA (Compatibility, NotBusMaster, Transfer8) {2}
                    })
                }
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400) })
        }

        // Interrupt links: registers 60h-63h of the ISA bridge; bit 7 set is "off" [82371SB PIRQRC].
        Field (PCI0.ISA.PIRQ, ByteAcc, NoLock, Preserve) { PRQ0, 8, PRQ1, 8, PRQ2, 8, PRQ3, 8 }
        Name (PRSR, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11} })
        Method (IQST, 1) { If (Arg0 & 0x80) { Return (0x09) } Return (0x0B) }
        Method (IQCR, 1, Serialized)
        {
            Name (PRR0, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, ,, _Y00) {0} })
            CreateDWordField (PRR0, _Y00._INT, PRRI)
            If (Arg0 < 0x80) { PRRI = Arg0 }
            Return (PRR0)
        }
        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F")) Name (_UID, 0)
            Method (_PRS) { Return (PRSR) }
            Method (_STA) { Return (IQST (PRQ0)) }
            Method (_DIS) { PRQ0 |= 0x80 }
            Method (_CRS) { Return (IQCR (PRQ0)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, PRRI) PRQ0 = PRRI }
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F")) Name (_UID, 1)
            Method (_PRS) { Return (PRSR) }
            Method (_STA) { Return (IQST (PRQ1)) }
            Method (_DIS) { PRQ1 |= 0x80 }
            Method (_CRS) { Return (IQCR (PRQ1)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, PRRI) PRQ1 = PRRI }
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F")) Name (_UID, 2)
            Method (_PRS) { Return (PRSR) }
            Method (_STA) { Return (IQST (PRQ2)) }
            Method (_DIS) { PRQ2 |= 0x80 }
            Method (_CRS) { Return (IQCR (PRQ2)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, PRRI) PRQ2 = PRRI }
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F")) Name (_UID, 3)
            Method (_PRS) { Return (PRSR) }
            Method (_STA) { Return (IQST (PRQ3)) }
            Method (_DIS) { PRQ3 |= 0x80 }
            Method (_CRS) { Return (IQCR (PRQ3)) }
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, PRRI) PRQ3 = PRRI }
        }
        Device (LNKS)
        {
            Name (_HID, EisaId ("PNP0C0F")) Name (_UID, 4)
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {9} })
            Method (_STA) { Return (0x0B) }
            Method (_DIS) {}
            Method (_CRS) { Return (_PRS) }
            Method (_SRS, 1) {}
        }
    }

    // S5 (soft off): SLP_TYP 0 in PM1a_CNT, as the PIIX4 has it.
    Name (\_S5, Package (4) { Zero, Zero, Zero, Zero })
}
